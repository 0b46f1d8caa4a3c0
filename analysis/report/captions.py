"""What stands under each figure of a report, on the page and in Markdown alike."""

from analysis import formatting
from analysis.report import checks, series
from analysis.report.difference import difference_caption
from analysis.report.evidence import Evidence

CAPTIONS = {
    "loss": "Each marker is a {point}. Lines are the fitted law, solid where runs measured it and dashed beyond; "
    "shading is its pointwise {level} interval.",
    "residuals": "Measured minus fitted loss. With few degrees of freedom the fit absorbs most of the noise.",
    "profiles": "How much worse the best fit gets when {parameter} is held at another value, in units of the residual "
    "variance. The {level} interval is where a curve lies below the dotted line.",
    "training": "Training loss (lines) and validation loss (markers). Dotted lines are runs that did not finish.",
    "throughput": "Training throughput of the finished runs, on the machines that ran them.",
    "cost": "Training of all runs that have a result, diverged ones included, one piece a run where there are few: "
    "the time that it took on the machines that ran it, or compute where no time was recorded.",
}


def captions_of(evidence: Evidence) -> dict[str, str]:
    """By figure name, plain text; the caption of the loss says where a band was cut and how FLOPs were counted."""
    level = f"{100 * evidence.settings.level:g} %"
    parameter = next((part.parameter for part in series.profiles(evidence).values()), "")
    point = "finished run" if evidence.table.noun == "runs" else "point of the table"
    captions = {name: text.format(level=level, parameter=parameter, point=point) for name, text in CAPTIONS.items()}
    for name in series.other_parameters(evidence):
        captions[f"profiles-{name}"] = CAPTIONS["profiles"].format(level=level, parameter=name)
    for name in ("", *series.other_parameters(evidence)):
        if outside := series.profile_limits(series.profiles(evidence, name)).outside:
            leaves = "leaves" if len(outside) == 1 else "leave"
            key = f"profiles-{name}" if name else "profiles"
            captions[key] += (
                f" The curve of {formatting.listed(outside)} {leaves} the axis: it is far wider than the others."
            )
    captions["difference"] = difference_caption(evidence)
    captions |= checks.captions(evidence)
    data = series.loss_series(evidence)
    if not evidence.fits:
        captions["loss"] = f"Each marker is a {point}. There are too few for a fit."
    if any(curve.low is None for curve in data.curves.values()):
        bare = formatting.listed(label for label, curve in data.curves.items() if curve.low is None)
        captions["loss"] += f" {bare}: no degree of freedom is left, so there is no interval to shade."
    if data.cut:
        captions["loss"] += f" The interval of {formatting.listed(data.cut)} goes on beyond the axis, where it is cut."
    if evidence.accounting and evidence.x_note:
        every = evidence.table.noun[:-1]
        captions["loss"] += (
            f" FLOPs are counted as {formatting.accounting(evidence.accounting)}, for every {every} alike."
        )
    if evidence.unigram_entropy is not None and data.entropy is None:
        captions["loss"] += f" The unigram entropy, {formatting.loss(evidence.unigram_entropy)}, lies off the axis."
    return captions


def joint_captions(evidence: Evidence) -> dict[str, str]:
    """Of a law of several inputs."""
    point = "finished run" if evidence.table.noun == "runs" else "point of the table"
    over = {
        f"residuals-{place}": f"Measured minus fitted loss over {evidence.column(name).phrase}: a trend is what the "
        "law does not describe."
        for place, name in enumerate(evidence.settings.inputs, start=1)
    }
    return {"against": f"Each marker is a {point}; on the line the fit is exact.", **over}
