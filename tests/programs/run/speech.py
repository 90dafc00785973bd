"""silero-vad: where speech is in a synthetic recording, by every model of the package."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import silero_vad
import torch
from silero_vad.sequence_vad import SileroVADSequence, get_speech_timestamps_sequence
from silero_vad.utils_vad import OnnxWrapper, get_speech_timestamps

MODELS = Path(silero_vad.__file__).parent / "data"
FRAME, BEFORE = {16000: 512, 8000: 256}, {16000: 64, 8000: 32}


def recording(rate: int, seconds: float = 6.0) -> Any:
    """Voiced syllables with formants, pauses between them, and a little noise."""
    rng = np.random.default_rng(7)
    t = np.arange(int(rate * seconds)) / rate
    pitch = 120 + 15 * np.sin(2 * np.pi * 0.7 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice: Any = sum(
        np.sin(k * phase) / k * np.exp(-(((k * pitch - formant) / 400) ** 2))
        for k in range(1, 25)
        for formant in (500, 1500, 2500)
        if k * 150 < rate / 2
    )
    syllables = (np.sin(2 * np.pi * 3.1 * t) > -0.3) * ((t % 3) < 1.8)
    return (0.25 * voice * syllables + 0.003 * rng.standard_normal(t.size)).astype(np.float32)


def by_wrapper(name: str, rate: int) -> Any:
    """Probabilities frame by frame, and the intervals."""
    model = OnnxWrapper(str(MODELS / name), force_onnx_cpu=True)
    sound, size = torch.from_numpy(recording(rate)), FRAME[rate]
    shares = [float(model(sound[n : n + size], rate)) for n in range(0, len(sound) - size, size)]
    model.reset_states()
    return shares, get_speech_timestamps(sound, model, sampling_rate=rate, threshold=0.3)


def by_session(name: str) -> Any:
    """The models without a rate, driven frame by frame."""
    session = onnxruntime.InferenceSession(str(MODELS / name), providers=["CPUExecutionProvider"])
    sound = np.concatenate([np.zeros(64, np.float32), recording(16000)])
    state, shares = np.zeros((2, 1, 128), np.float32), []
    for n in range(64, sound.size - 512, 512):
        frame = sound[None, n - 64 : n + 512]
        share, state = session.run(None, {"input": frame, "state": state})
        shares.append(float(share[0, 0]))
    return shares


def by_sequence(name: str) -> Any:
    """The model of whole recordings."""
    model = SileroVADSequence(str(MODELS / name))
    sound = recording(16000)
    shares = model.audio_forward(sound).tolist()
    return shares, get_speech_timestamps_sequence(sound, model, threshold=0.3)


found = {
    "both rates": [by_wrapper("silero_vad.onnx", rate) for rate in FRAME],
    "without If": [by_wrapper("silero_vad_op18_ifless.onnx", rate) for rate in FRAME],
    "opset 15": by_wrapper("silero_vad_16k_op15.onnx", 16000),
    "half": by_session("silero_vad_half.onnx"),
    "openvino": by_session("silero_vad_openvino_16k.onnx"),
    "sequence": by_sequence("silero_vad_16k_sequence.onnx"),
}
print(json.dumps(found))
