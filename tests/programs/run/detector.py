"""nudenet: what the detector says of a picture made here, and of noise."""

import json

import numpy as np
from nudenet import NudeDetector

rng = np.random.default_rng(3)
y, x = np.mgrid[0:480, 0:360]
image = np.full((480, 360, 3), (200, 180, 160), np.uint8)
image[((x - 180) / 60) ** 2 + ((y - 120) / 80) ** 2 < 1] = (140, 170, 225)
for middle in (155, 205):
    image[((x - middle) / 10) ** 2 + ((y - 105) / 5) ** 2 < 1] = (40, 30, 30)
image[((x - 180) / 22) ** 2 + ((y - 160) / 6) ** 2 < 1] = (60, 60, 180)
image[((x - 180) / 110) ** 2 + ((y - 330) / 140) ** 2 < 1] = (120, 150, 210)
detector = NudeDetector()
found = [
    (f["class"], float(f["score"]), [int(v) for v in f["box"]]) for f in detector.detect(image)
]
noise = rng.random((1, 3, 320, 320), dtype=np.float32)
raw = detector.onnx_session.run(None, {detector.input_name: noise})[0]
print(json.dumps([found, (raw[0, :, ::211] / 320).ravel().tolist()]))
