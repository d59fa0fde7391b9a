"""The whole chain once, on photographs that come with installed packages."""

from prefect import flow

from flows.correspond import correspond
from flows.cosegment import cosegment
from flows.parts import parts
from flows.propagate import propagate
from flows.runner import default_runner, subflow
from storage.files import join
from tasks.config import CosegmentConfig
from tasks.demo import DemoSummary, draw_sets, first_mask, publish_demo, score_sets
from tasks.report_task import make_report
from tasks.video_config import PropagateConfig

DEFAULTS = CosegmentConfig()
CLIP = PropagateConfig(size=280)  # its frames are small: more pixels would only take longer


@flow(name="demo", flow_run_name="demo in {out}", task_runner=default_runner())
def demo(
    out: str = "demo-out", config: CosegmentConfig = DEFAULTS, tour: bool = True
) -> DemoSummary:
    """Draw image sets with known objects, co-segment them and measure the result.

    Args:
        out: where pictures, store, masks and report are written; any fsspec URL.
        config: descriptors and method of the co-segmentation.
        tour: also parts of one set, matches of the stereo pair and masks of the clip.
    """
    sets = draw_sets(join(out, "input"))
    found = subflow(cosegment)(sets.images, out, config.replace(attention_heads=True))
    scores = score_sets(out, sets)
    if tour:
        first = sets.sets[0]
        subflow(parts)(first.images, join(out, "parts"))
        subflow(correspond)(sets.pair.source, sets.pair.target, join(out, "pair"))
        mask = first_mask(sets.clip)
        subflow(propagate)(sets.clip.frames, join(out, "clip"), CLIP, mask=mask)
    report = make_report(out, "patchflow demo")
    summary = DemoSummary(out, report, found, scores)
    publish_demo(summary)
    return summary
