"""Pictures of the pairs that a reader of a keypoint benchmark should look at."""

import cv2
import numpy as np
from prefect import task

from storage.descriptors import DescriptorStore
from storage.files import join
from storage.images import read_image
from storage.results import write_rgb
from tasks.benchmarks.keypoints import KeypointBenchmark, KeypointPair
from tasks.config import EXECUTION_FIELDS
from tasks.faults import STORAGE_RETRIES
from tasks.match_config import MatchConfig
from tasks.matching import compare, transfer_points, views_of
from tasks.ops.draw_layout import match_picture
from tasks.report_benchmark import extreme_cases, telling_score
from tasks.report_records import ImageRecord, SetRecord, write_record
from tasks.reuse import finished, mark_finished
from tasks.scores import Scores
from tasks.sets import work_key

CODE = "pck-cases-2"
FOLDER = "cases"


@task(name="draw-cases", task_run_name="worst, median and best pairs", **STORAGE_RETRIES)
def draw_cases(
    store: str, benchmark: KeypointBenchmark, scores: Scores, out: str, config: MatchConfig
) -> int:
    """Write ``OUT/cases`` with the worst, median and best pairs, unless an equal run did.

    Keypoints are joined with where they were carried; a ring is where they belong, as wide as
    an error of a twentieth of the threshold's basis. Returns how many pairs were drawn.
    """
    opened = DescriptorStore.open(store)
    cases = extreme_cases(scores.items, telling_score(scores.scores, scores.items))
    wanted = [name for names in cases.values() for name in names]
    known = {f"{pair.category} {pair.name}": pair for pair in benchmark.pairs}
    images = [name for case in wanted for name in (known[case].source, known[case].target)]
    settings = config.model_dump(mode="json", exclude={*EXECUTION_FIELDS, "block"})
    drawn = [[case, known[case].source_xy, known[case].target_xy] for case in wanted]
    key = work_key(opened, images, settings | {"cases": drawn}, CODE)
    folder = join(out, FOLDER)
    if not wanted or finished(folder, key, int) is not None:
        return len(wanted)
    records = []
    for number, case in enumerate(wanted):
        picture = _drawn(opened, known[case], config)
        path = f"pictures/{number:02d}.jpg"
        write_rgb(join(folder, path), picture, quality=85)
        height, width = picture.shape[:2]
        records.append(ImageRecord(case, width, height, {"matches": path}))
    write_record(folder, SetRecord(kind="pair", name=FOLDER, images=tuple(records)))
    mark_finished(folder, key, len(wanted))
    return len(wanted)


def _drawn(store: DescriptorStore, pair: KeypointPair, config: MatchConfig) -> np.ndarray:
    source, target = views_of(store, [pair.source, pair.target], config)
    xy = np.array(pair.source_xy)
    found = transfer_points(compare(source, target, config), xy, config)
    basis = float(max(target.grid.image)) if pair.basis is None else pair.basis
    before, after = read_image(source.ref), read_image(target.ref).copy()
    for x, y in pair.target_xy:
        centre = int(x), int(y)
        cv2.circle(after, centre, max(2, round(basis / 20)), (255, 255, 255), 2, cv2.LINE_AA)
        cv2.circle(after, centre, max(2, round(basis / 20)), (0, 0, 0), 1, cv2.LINE_AA)
    return match_picture(before, after, xy, found.xy)
