"""rapidocr: text read off a picture drawn here."""

import json

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from rapidocr_onnxruntime import RapidOCR

image = Image.new("RGB", (640, 240), "white")
draw = ImageDraw.Draw(image)
font = ImageFont.load_default(40)
draw.text((30, 30), "Hello drop-in 2026", fill="black", font=font)
draw.text((30, 130), "Invoice No. 48213", fill=(20, 20, 120), font=font)
result, _ = RapidOCR()(np.asarray(image)[:, :, ::-1].copy())
print(json.dumps([(np.asarray(box).round().tolist(), text, float(s)) for box, text, s in result]))
