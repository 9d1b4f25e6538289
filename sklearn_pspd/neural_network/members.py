"""Training of the members of an ensemble: the same network on the same patients from different seeds."""

import copy
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event

import keras
import numpy as np
from sklearn.model_selection import train_test_split

from sklearn_pspd.exceptions import InputError

from .architecture import initial_weights
from .batches import BatchTrainer, PatientBatches
from .blocks import set_steps, steps_per_block
from .callbacks import StopWhenNotFinite, StopWhenOver
from .devices import n_concurrent_members
from .layers import WeightedBatchNormalization
from .pool import NETWORK_POOL, optimizer_state, reset_network
from .specification import NetworkSpec


@dataclass(frozen=True)
class TrainingPlan:
    """What all members of a fit have in common.

    Parameters
    ----------
    X : ndarray or memmap of shape (n_patients, n_features)
        Pixel columns, followed by clinical columns.
    codes : ndarray of shape (n_patients,)
        Class codes, 0 or 1.
    sample_weight : ndarray of shape (n_patients,)
        Weights of the patients.
    rows : ndarray of int
        Rows of the patients to train on.
    spec : NetworkSpec
        Specification of the training network.
    epochs : int
        Largest number of epochs.
    batch_size : int
        Number of patients per step.
    learning_rate : float
        Learning rate, at the start with a schedule.
    schedule : {"constant", "cosine"}
        Course of the learning rate over the fit.
    shuffle : bool
        Whether each epoch has a new row order.
    augment : StackAugmenter or None
        Random transforms of the stacks.
    reestimate : bool
        Whether the statistics of batch normalisation are computed anew after training.
    validation_fraction : float or None
        Fraction of the rows held out for early stopping; None holds out no rows.
    n_iter_no_change : int
        Number of epochs without a lower validation loss that ends the fit.
    callbacks : sequence of keras.callbacks.Callback
        Callbacks of the user, which are copied for each member.
    verbose : int
        Verbosity of Keras.
    """

    X: np.ndarray
    codes: np.ndarray
    sample_weight: np.ndarray
    rows: np.ndarray
    spec: NetworkSpec
    epochs: int
    batch_size: int
    learning_rate: float
    schedule: str
    shuffle: bool
    augment: object
    reestimate: bool
    validation_fraction: float | None
    n_iter_no_change: int
    callbacks: Sequence
    verbose: int


@dataclass(frozen=True)
class Start:
    """Start of one member: its seed, and where it continues, its weights and the state of its optimiser.

    Parameters
    ----------
    seed : int
        Seed of initial weights, row order, dropout masks, transforms and held-out rows.
    weights : list of ndarray, default=None
        Weights to continue from; None draws them.
    state : list of ndarray, default=None
        State of the optimiser to continue from.
    """

    seed: int
    weights: list | None = None
    state: list | None = None


@dataclass(frozen=True)
class Member:
    """A trained member.

    Parameters
    ----------
    weights : list of ndarray
        Weights of its network.
    history : dict of str to list of float
        Losses, one per epoch.
    state : list of ndarray
        State of the optimiser.
    callbacks : list of keras.callbacks.Callback
        The copies of the user's callbacks that this fit used.
    """

    weights: list
    history: dict
    state: list
    callbacks: list


def member_seeds(seed, n_members):
    """Return the seeds of the members: of one member, the seed itself; else independent seeds, spawned from it.

    Parameters
    ----------
    seed : int
        Seed of the fit.
    n_members : int
        Number of members.

    Returns
    -------
    list of int
        Seeds; those of the first members do not depend on the number of members above one.
    """
    if n_members == 1:
        return [seed]
    spawned = np.random.SeedSequence(seed).spawn(n_members)
    return [int(child.generate_state(1)[0]) % 2**31 for child in spawned]


def train_members(plan, starts, *, tasks=None):
    """Train all members, several at a time if the network is small.

    Parameters
    ----------
    plan : TrainingPlan
        What they have in common.
    starts : sequence of Start
        One per member.
    tasks : callable, default=None
        Function of the members trained so far that returns a Keras callback to report the epochs of the next one. With
        it, and with callbacks of the user, members are trained one after another.

    Returns
    -------
    list of Member
        The members, in the order of `starts`. Each is bit-identical to one that is trained alone.
    """
    # A large network uses all cores by itself, and takes too much memory to have several at once.
    is_small = steps_per_block(plan.spec, plan.batch_size) > 1
    n_threads = n_concurrent_members(len(starts)) if is_small and tasks is None and not plan.callbacks else 1
    if n_threads == 1:
        members = []
        for start in starts:
            members.append(train_member(plan, start, [] if tasks is None else [tasks(members)]))
        return members
    is_over = Event()
    with ThreadPoolExecutor(n_threads) as threads:
        futures = [threads.submit(train_member, plan, start, [StopWhenOver(is_over)]) for start in starts]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # After an error or an interruption, those that are still training end with their epoch.
            is_over.set()
            threads.shutdown(wait=True, cancel_futures=True)
        return [future.result() for future in futures]


def train_member(plan, start, tasks=()):
    """Train one network, on a compiled copy from the pool.

    Parameters
    ----------
    plan : TrainingPlan
        What all members have in common.
    start : Start
        Seed and start of this one.
    tasks : sequence of keras.callbacks.Callback, default=()
        Callbacks of this library, which come first.

    Returns
    -------
    Member
        The trained member.

    Raises
    ------
    InputError
        If a loss or a weight is not finite, or rows cannot be held out.
    """
    rows, validation_rows = split_rows(plan, start.seed)
    n_steps = 1 if plan.callbacks else steps_per_block(plan.spec, plan.batch_size)
    own = copy.deepcopy(list(plan.callbacks))
    with NETWORK_POOL.borrow(plan.spec) as network:
        weights = initial_weights(network, start.seed) if start.weights is None else start.weights
        reset_network(network, weights, learning_rate=plan.learning_rate, seed=start.seed, state=start.state)
        rates = learning_rates(plan, len(rows))
        callbacks = [*set_steps(network, plan.batch_size, rates), *tasks, *own, StopWhenNotFinite()]
        if validation_rows is not None:
            callbacks.append(keras.callbacks.EarlyStopping(patience=plan.n_iter_no_change, restore_best_weights=True))
        trainer = BatchTrainer(
            network,
            batch_size=plan.batch_size,
            epochs=plan.epochs,
            verbose=plan.verbose,
            callbacks=callbacks,
            shuffle=False,
        )
        trainer.fit(
            plan.X,
            plan.codes,
            sample_weight=plan.sample_weight,
            spec=plan.spec,
            rows=rows,
            validation_rows=validation_rows,
            rng=np.random.default_rng(start.seed) if plan.shuffle else None,
            augment=plan.augment,
            seed=start.seed,
            steps_per_block=n_steps,
        )
        history = {name: [float(value) for value in values] for name, values in trainer.history_.items()}
        if plan.reestimate:
            reestimate_statistics(network, plan, rows)
        member = Member(network.get_weights(), history, optimizer_state(network), own)
    for callback in own:
        # A callback keeps what it recorded, but not the network, which others will use.
        callback.set_model(None)
    _check_finite(member, plan)
    return member


def reestimate_statistics(network, plan, rows):
    """Replace the moving averages of batch normalisation by the statistics of all training rows, not transformed.

    Parameters
    ----------
    network : keras.Model
        The trained network, which is changed.
    plan : TrainingPlan
        Plan of the fit.
    rows : ndarray of int
        Training rows.
    """
    layers = [layer for layer in network.layers if isinstance(layer, WeightedBatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    n_rows = plan.batch_size * steps_per_block(plan.spec, plan.batch_size)
    blocks = PatientBatches(plan.X, plan.codes, plan.sample_weight, rows=rows, batch_size=n_rows, spec=plan.spec)
    try:
        for index in range(len(blocks)):
            inputs, targets, _ = blocks[index]
            # With this momentum, the moving average is the mean over the rows up to now.
            for layer in layers:
                layer.momentum = index * n_rows / (index * n_rows + len(targets))
            network(inputs, training=True)
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum


def learning_rates(plan, n_rows):
    """Return the learning rate of each step of the fit, or None if it is constant.

    Parameters
    ----------
    plan : TrainingPlan
        Plan of the fit.
    n_rows : int
        Number of training rows.

    Returns
    -------
    ndarray or None
        Half a period of a cosine, from the learning rate down to nearly zero.
    """
    if plan.schedule == "constant":
        return None
    n_steps = plan.epochs * -(-n_rows // plan.batch_size)
    return plan.learning_rate * 0.5 * (1.0 + np.cos(np.pi * np.arange(n_steps) / n_steps))


def split_rows(plan, seed):
    """Return training rows, and validation rows or None.

    Parameters
    ----------
    plan : TrainingPlan
        Plan of the fit.
    seed : int
        Seed of the division.

    Returns
    -------
    rows, validation_rows : ndarray of int
        Stratified by class.

    Raises
    ------
    InputError
        If a class has too few rows.
    """
    if plan.validation_fraction is None:
        return plan.rows, None
    codes = plan.codes[plan.rows]
    try:
        return train_test_split(plan.rows, test_size=plan.validation_fraction, stratify=codes, random_state=seed)
    except ValueError as error:
        raise InputError(
            f"early_stopping=True cannot hold out validation_fraction={plan.validation_fraction} of "
            f"{len(codes)} patients, {np.bincount(codes, minlength=2).tolist()} per class: {error}"
        ) from error


def _check_finite(member, plan):
    epochs = [
        epoch for losses in member.history.values() for epoch, loss in enumerate(losses, 1) if not np.isfinite(loss)
    ]
    if not epochs and all(np.all(np.isfinite(weights)) for weights in member.weights):
        return
    what = (
        f"the loss was not finite in epoch {min(epochs)}" if epochs else "weights were not finite after the last epoch"
    )
    raise InputError(
        f"training diverged: {what} of {plan.epochs} (learning_rate={plan.learning_rate:g}, "
        f"precision={plan.spec.precision!r}); use a lower learning rate"
    )
