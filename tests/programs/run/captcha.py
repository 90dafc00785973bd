"""ddddocr: characters and boxes of pictures drawn here, by all models of the package."""

import io
import json

import ddddocr
from PIL import Image, ImageDraw, ImageFont


def picture(text: str, size: tuple[int, int] = (160, 60)) -> bytes:
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    draw.text((12, 8), text, fill=(30, 60, 160), font=ImageFont.load_default(38))
    for k in range(0, size[0], 23):
        draw.line((k, 0, size[0] - k, size[1]), fill=(180, 180, 180))
    held = io.BytesIO()
    image.save(held, "PNG")
    return held.getvalue()


readers = [ddddocr.DdddOcr(show_ad=False, old=old) for old in (False, True)]
found = [[r.classification(picture(t)) for t in ("A7kQ", "3582", "hello")] for r in readers]
boxes = ddddocr.DdddOcr(det=True, ocr=False, show_ad=False).detection(picture("A7kQ", (320, 200)))
print(json.dumps([found, boxes]))
