"""What a cohort is, as text: leakage checks, patients, and what their number allows."""

from sklearn_pspd.formatting import plain_text


def cohort_text(findings, characteristics, sample_size, *, title=None):
    """Describe a cohort before any model is trained.

    Parameters
    ----------
    findings : DataFrame
        What :func:`~sklearn_pspd.model_selection.audit_leaks` returned.
    characteristics : dict of str to CharacteristicsTable
        Tables of patient characteristics, by heading.
    sample_size : DataFrame
        What :meth:`Study.sample_size() <sklearn_pspd.study.Study.sample_size>` returned.
    title : str, default=None
        First line, for example that the cohort is synthetic.

    Returns
    -------
    str
        Leakage checks, one block per table of characteristics, sample size.
    """
    lines = ["Leakage checks: none found (duplicate patients, features that reveal the outcome)"]
    if len(findings):
        listed = findings.drop(columns="sites").astype(str)
        lines = [f"Leakage checks: {len(findings)} findings to look at", plain_text(listed)]
    for heading, table in characteristics.items():
        lines += ["", heading, plain_text(table.frame())]
    return "\n".join([*([title, ""] if title else []), *lines, "", *_size_lines(sample_size), ""])


def _size_lines(sample_size):
    by_part = {row["patients"]: row for row in sample_size.to_dict("records")}
    training = by_part["training"]
    lines = [
        f"Sample size, for an AUC of {training['auc']:g}",
        f"training: {training['n_patients']} patients, {training['events_per_variable']:.1f} events per variable "
        "(patients with the rarer outcome,",
        f"  per clinical feature); Riley's criteria require {training['n_required']} patients for "
        f"{training['n_features']} features, and more for networks",
    ]
    if held_out := by_part.get("held out"):
        lines += [
            f"held out: {held_out['n_patients']} patients, for whom a 95 % interval of the AUC of about "
            f"{held_out['auc_low']:.2f} to {held_out['auc_high']:.2f}",
            f"  is expected; Riley's criteria require {held_out['n_required']} patients",
        ]
    return lines
