"""The structure of a fitted network."""

import pandas as pd
from matplotlib.patches import FancyBboxPatch

from .display import Grid, PanelDisplay
from .style import COLOURS

NODE_COLUMNS = ["layer", "kind", "output_shape", "repeats", "n_weights", "inputs"]
COLUMN_WIDTH, BOX_WIDTH, BOX_HEIGHT = 1.0, 0.9, 0.66
INK = "0.15"


class NetworkDisplay(PanelDisplay):
    """The layers of a network with their output shapes and numbers of weights, as the paper's figure 1.

    Parameters
    ----------
    nodes : DataFrame
        One row per layer, in the order of computation: ``layer`` (its name), ``kind`` (what it does), ``output_shape``
        (without the axis of patients), ``repeats`` (number of slices that it is applied to one by one; 1 where it is
        applied to a patient as a whole), ``n_weights`` and ``inputs`` (names of the layers whose output it takes).

    Attributes
    ----------
    figure_ : matplotlib.figure.Figure
        The figure, after :meth:`plot`.
    ax_ : matplotlib.axes.Axes
        Its panel.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_pspd import CNNLSTMClassifier
    >>> from sklearn_pspd.plotting import NetworkDisplay
    >>> X, y = np.random.default_rng(0).random((4, 3 * 8 * 8 + 7)), [0, 1, 0, 1]
    >>> model = CNNLSTMClassifier((3, 8, 8), filters=(2, 4), epochs=1, random_state=0).fit(X, y)
    >>> nodes = NetworkDisplay.from_estimator(model).frame()
    >>> nodes.loc[nodes["layer"] == "lstm", ["kind", "n_weights"]].to_numpy().tolist()
    [['LSTM, 24 cells', 3936]]
    """

    def __init__(self, *, nodes):
        self.nodes = nodes

    @classmethod
    def from_estimator(cls, estimator, *, ax=None, title=None):
        """Draw the network of a fitted classifier.

        Parameters
        ----------
        estimator : CNNLSTMClassifier or Pipeline
            A fitted classifier, or a fitted pipeline that ends in one.
        ax : matplotlib.axes.Axes, default=None
            Where to draw; None makes a figure.
        title : str, default=None
            Heading of the panel; None gives the number of weights.

        Returns
        -------
        NetworkDisplay
            With ``figure_`` and ``ax_``.

        Raises
        ------
        TypeError
            If the estimator has no network.
        InputError
            If `ax` is not one panel.
        """
        classifier = estimator[-1] if hasattr(estimator, "steps") else estimator
        if not hasattr(type(classifier), "network_"):
            raise TypeError(f"a classifier with a network is needed; {type(classifier).__name__} has none")
        return cls(nodes=_tabulate(classifier.network_)).plot(ax=ax, title=title)

    def frame(self):
        """Return the layers.

        Returns
        -------
        DataFrame
            One row per layer.
        """
        return self.nodes

    def _grid(self):
        n_columns, n_rows = _extent(self.nodes)
        return Grid((1,), (0.2 + 3.0 * n_columns, 0.5 + 0.62 * n_rows))

    def _set_title(self, title):
        super()._set_title(title or f"{self.nodes['n_weights'].sum():,} weights")

    def _draw(self, axes):
        (ax,) = axes
        places = _places(self.nodes)
        for node in self.nodes.itertuples():
            for source in node.inputs:
                _draw_arrow(ax, places[source], places[node.layer])
        for node in self.nodes.itertuples():
            _draw_box(ax, node, places[node.layer])
        n_columns, n_rows = _extent(self.nodes)
        ax.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5))
        ax.set_axis_off()


def _tabulate(network):
    """Return one row per layer; reshaping, which computes nothing, is left out."""
    import keras

    nodes, sources, repeats = [], {}, {}  # the last two by the output tensor of a layer
    for operation in network.operations:
        inputs = [] if type(operation).__name__ == "InputLayer" else keras.tree.flatten(operation.input)
        outputs = keras.tree.flatten(operation.output)
        shape = tuple(outputs[0].shape[1:])
        n_repeats = max((repeats[id(tensor)] for tensor in inputs), default=1)
        reads = list(dict.fromkeys(source for tensor in inputs for source in sources[id(tensor)]))
        is_reshape = type(operation).__name__ in ("Reshape", "Transpose")
        if type(operation).__name__ == "Reshape":
            # Patients and slices share the first axis between two of these.
            n_repeats = inputs[0].shape[1] if len(shape) == 3 else 1
        repeats |= dict.fromkeys(map(id, outputs), n_repeats)
        sources |= dict.fromkeys(map(id, outputs), reads if is_reshape else [operation.name])
        if is_reshape:
            continue
        n_weights = operation.count_params() if hasattr(operation, "count_params") else 0
        nodes.append((operation.name, _kind(operation), shape, n_repeats, n_weights, reads))
    return pd.DataFrame(nodes, columns=NODE_COLUMNS)


def _kind(layer):
    """Return what a layer does, in the terms of the field."""
    name, config = type(layer).__name__, layer.get_config() if hasattr(layer, "get_config") else {}
    side = " x ".join(map(str, config.get("kernel_size", ())))
    kinds = {
        "InputLayer": {"stack": "slice stack", "clinical": "clinical features"}.get(layer.name, layer.name),
        "WeightedBatchNormalization": "batch normalisation",
        "ImageNormalization": "batch normalisation",
        "PooledConv2D": f"convolution {side}, ReLU, max pooling",
        "Conv2D": f"convolution {side}, ReLU",
        "MaxPooling2D": "max pooling",
        "GlobalAveragePooling2D": "average of each map",
        "Flatten": "flatten",
        "SliceLSTM": f"LSTM, {config.get('units')} cells",
        "GatedAttention": f"gated attention, {config.get('units')} units",
        "GlobalAveragePooling1D": "mean over slices",
        "Dense": f"dense {config.get('units')}, {_activation(config)}",
        "Concatenate": "concatenate",
        "Dropout": f"dropout {config.get('rate')}",
    }
    return kinds.get(name, name)


def _activation(config):
    return {"relu": "ReLU"}.get(config.get("activation"), config.get("activation"))


def _places(nodes):
    """Return (column, row) of each layer: one column per input, joined layers below the longer one."""
    places, n_inputs = {}, 0
    for node in nodes.itertuples():
        above = [places[source] for source in node.inputs]
        if not above:
            places[node.layer] = (n_inputs, 0)
            n_inputs += 1
        else:
            places[node.layer] = (min(column for column, _ in above), 1 + max(row for _, row in above))
    # The last layer of a short branch stands just above the layer that takes its output.
    for node in nodes.iloc[::-1].itertuples():
        readers = [places[other.layer][1] for other in nodes.itertuples() if node.layer in other.inputs]
        if readers:
            column, _ = places[node.layer]
            places[node.layer] = (column, min(readers) - 1)
    return places


def _extent(nodes):
    """Return the numbers of columns and rows."""
    columns, rows = zip(*_places(nodes).values(), strict=True)
    return 1 + max(columns), 1 + max(rows)


def _draw_box(ax, node, place):
    column, row = place
    colour = _colour(node)
    box = FancyBboxPatch(
        (column - BOX_WIDTH / 2, row - BOX_HEIGHT / 2),
        BOX_WIDTH,
        BOX_HEIGHT,
        boxstyle="round,pad=0,rounding_size=0.06",
        mutation_aspect=1.5,
        facecolor=(colour, 0.16),
        edgecolor=colour,
        linewidth=1.2,
    )
    ax.add_patch(box)
    shape = " x ".join(f"{side:,}" for side in node.output_shape)
    if node.repeats > 1:
        shape = f"each of {node.repeats} slices: {shape}"
    below = f"{shape}   |   {node.n_weights:,} weights" if node.n_weights else shape
    ax.annotate(node.kind, (column, row - 0.13), ha="center", va="center", fontsize=9, color=INK)
    ax.annotate(below, (column, row + 0.16), ha="center", va="center", fontsize=7.5, color="0.3")


def _colour(node):
    """Return the colour of the part of the network: single slices, sequence of slices, clinical features, fusion."""
    if node.layer.startswith("clinical"):
        return COLOURS[2]
    if node.layer in ("fusion", "head", "dropout"):
        return COLOURS[3]
    return COLOURS[0] if node.repeats > 1 or node.layer == "stack" else COLOURS[1]


def _draw_arrow(ax, start, end):
    tail, head = (start[0], start[1] + BOX_HEIGHT / 2), (end[0], end[1] - BOX_HEIGHT / 2)
    if start[0] != end[0]:
        # From the side branch into the joining layer's side.
        tail, head = (start[0], start[1] + BOX_HEIGHT / 2), (end[0] + BOX_WIDTH / 2, end[1])
    style = {"arrowstyle": "-|>", "color": "0.35", "shrinkA": 0, "shrinkB": 0, "linewidth": 1.1}
    if start[0] != end[0]:
        style["connectionstyle"] = "angle,angleA=90,angleB=0,rad=6"
    ax.annotate("", head, xytext=tail, arrowprops=style)
