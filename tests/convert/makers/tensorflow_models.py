"""Writes models of Keras, SavedModels and TFLite files into a folder."""

import sys
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

layers = keras.layers


def mlp() -> Any:
    x = keras.Input((8,), name="x")
    y = layers.Dense(16, activation="gelu")(x)
    y = layers.LayerNormalization()(y)
    return keras.Model(x, layers.Dense(4, activation="softmax", name="probs")(y))


def convolutions() -> Any:
    x = keras.Input((16, 16, 3), name="image")
    y = layers.Conv2D(8, 3, padding="same", use_bias=False)(x)
    y = layers.ReLU()(layers.BatchNormalization()(y))
    y = layers.DepthwiseConv2D(3, strides=2, padding="same")(y)
    z = layers.Conv2D(8, 1, strides=2)(x)
    y = layers.GlobalAveragePooling2D()(layers.Add()([y, z]))
    return keras.Model(x, layers.Dense(5)(y))


def recurrent() -> Any:
    x = keras.Input((None, 6), name="x")
    y = layers.Bidirectional(layers.LSTM(5, return_sequences=True))(x)
    return keras.Model(x, layers.GRU(4)(y))


def attention() -> Any:
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = layers.Embedding(10, 8)(ids)
    y = layers.MultiHeadAttention(2, 4)(x, x)
    y = layers.LayerNormalization()(x + y)
    pooled = layers.GlobalMaxPooling1D()(y)
    return keras.Model(ids, {"hidden": y, "pooled": pooled})


def main(folder: Path) -> None:
    keras.utils.set_random_seed(0)
    for build in (mlp, convolutions, recurrent, attention):
        model = build()
        model.save(folder / f"{build.__name__}.keras")
        model.export(folder / build.__name__, verbose=False)
        if build in (mlp, convolutions):
            lite = tf.lite.TFLiteConverter.from_keras_model(model).convert()
            (folder / f"{build.__name__}.tflite").write_bytes(lite)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
