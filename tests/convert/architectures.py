"""Architectures of the transformers library at a small size, with seeded random weights."""

from collections.abc import Callable
from typing import Any

TEXT = {"vocab_size": 99, "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 48, "max_position_embeddings": 256}  # fmt: skip
IMAGE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "intermediate_size": 48, "image_size": 32, "patch_size": 8}  # fmt: skip
SOUND = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4,
         "conv_dim": (16, 16, 16), "intermediate_size": 48,
         "conv_kernel": (8, 3, 3), "conv_stride": (4, 2, 2),
         "num_feat_extract_layers": 3, "num_conv_pos_embeddings": 16,
         "num_conv_pos_embedding_groups": 2, "vocab_size": 32}  # fmt: skip


def _built(model: str, config: str, **sizes: Any) -> Callable[[], Any]:
    def build() -> Any:
        import transformers

        return getattr(transformers, model)(getattr(transformers, config)(**sizes))

    return build


def _clip(name: str) -> Callable[[], Any]:
    def build() -> Any:
        import transformers

        text = {**TEXT, "projection_dim": 16, "eos_token_id": 1, "bos_token_id": 0}
        vision = {**IMAGE, "projection_dim": 16}
        config = getattr(transformers, f"{name}Config")(text_config=text, vision_config=vision)
        return getattr(transformers, f"{name}Model")(config)

    return build


_LLAMA = {**TEXT, "num_key_value_heads": 2, "head_dim": 8}
_SEQ = {"vocab_size": 99, "d_model": 32, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 48,
        "decoder_ffn_dim": 48, "max_position_embeddings": 128}  # fmt: skip

ARCHITECTURES: dict[str, Callable[[], Any]] = {
    # text
    "bert": _built("BertForSequenceClassification", "BertConfig", **TEXT),
    "roberta": _built("RobertaForTokenClassification", "RobertaConfig", **TEXT),
    "distilbert": _built("DistilBertModel", "DistilBertConfig", vocab_size=99, dim=32, n_layers=2,
                         n_heads=4, hidden_dim=48, max_position_embeddings=256),
    "albert": _built("AlbertModel", "AlbertConfig", embedding_size=16, **TEXT),
    "electra": _built("ElectraForPreTraining", "ElectraConfig", embedding_size=16, **TEXT),
    "mpnet": _built("MPNetModel", "MPNetConfig", **TEXT),
    "deberta-v2": _built("DebertaV2Model", "DebertaV2Config", **TEXT),
    "gpt2": _built("GPT2LMHeadModel", "GPT2Config", vocab_size=99, n_embd=32, n_layer=2, n_head=4,
                   n_positions=256),
    "gpt-neox": _built("GPTNeoXForCausalLM", "GPTNeoXConfig", **TEXT),
    "llama": _built("LlamaForCausalLM", "LlamaConfig", **_LLAMA),
    "mistral": _built("MistralForCausalLM", "MistralConfig", **_LLAMA),
    "qwen2": _built("Qwen2ForCausalLM", "Qwen2Config", **TEXT, num_key_value_heads=2),
    "qwen3": _built("Qwen3ForCausalLM", "Qwen3Config", **_LLAMA),
    "gemma": _built("GemmaForCausalLM", "GemmaConfig", **_LLAMA),
    "phi": _built("PhiForCausalLM", "PhiConfig", **TEXT),
    "opt": _built("OPTForCausalLM", "OPTConfig", vocab_size=99, hidden_size=32, num_hidden_layers=2,
                  num_attention_heads=4, ffn_dim=48, max_position_embeddings=256,
                  word_embed_proj_dim=32),
    "t5": _built("T5ForConditionalGeneration", "T5Config", vocab_size=99, d_model=32, d_kv=8,
                 d_ff=48, num_layers=2, num_heads=4, decoder_start_token_id=0),
    "bart": _built("BartForConditionalGeneration", "BartConfig", **_SEQ),
    "marian": _built("MarianMTModel", "MarianConfig", **_SEQ, pad_token_id=0,
                     decoder_start_token_id=0),
    # vision: classes, detection, segmentation, depth
    "vit": _built("ViTForImageClassification", "ViTConfig", **IMAGE),
    "deit": _built("DeiTForImageClassification", "DeiTConfig", **IMAGE),
    "dinov2": _built("Dinov2Model", "Dinov2Config", **IMAGE),
    "swin": _built("SwinForImageClassification", "SwinConfig", image_size=32, patch_size=4,
                   embed_dim=16, depths=[1, 1], num_heads=[2, 2], window_size=4),
    "convnext": _built("ConvNextForImageClassification", "ConvNextConfig",
                       hidden_sizes=[8, 16, 24, 32], depths=[1, 1, 1, 1]),
    "resnet": _built("ResNetForImageClassification", "ResNetConfig", embedding_size=8,
                     hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic"),
    "mobilenet": _built("MobileNetV2ForImageClassification", "MobileNetV2Config", image_size=64,
                        depth_multiplier=0.35),
    "yolos": _built("YolosForObjectDetection", "YolosConfig", **{**IMAGE, "image_size": [32, 32]},
                    num_detection_tokens=5),
    "segformer": _built("SegformerForSemanticSegmentation", "SegformerConfig",
                        hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], image_size=64,
                        num_attention_heads=[1, 2, 2, 2], decoder_hidden_size=16),
    "dpt": _built("DPTForDepthEstimation", "DPTConfig", **{**IMAGE, "num_hidden_layers": 4},
                  backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 16, 16],
                  fusion_hidden_size=16, is_hybrid=False),
    # speech
    "wav2vec2": _built("Wav2Vec2ForCTC", "Wav2Vec2Config", **SOUND),
    "hubert": _built("HubertModel", "HubertConfig", **SOUND),
    "whisper": _built("WhisperForConditionalGeneration", "WhisperConfig", vocab_size=99, d_model=32,
                      encoder_layers=2, decoder_layers=2, encoder_attention_heads=4,
                      decoder_attention_heads=4, encoder_ffn_dim=48, decoder_ffn_dim=48,
                      num_mel_bins=16, max_source_positions=30, max_target_positions=64,
                      pad_token_id=0, bos_token_id=1, eos_token_id=2, decoder_start_token_id=1,
                      suppress_tokens=None, begin_suppress_tokens=None),
    # multimodal
    "clip": _clip("CLIP"),
    "siglip": _clip("Siglip"),
    "layoutlm": _built("LayoutLMForTokenClassification", "LayoutLMConfig", **TEXT,
                       max_2d_position_embeddings=64),
}  # fmt: skip
FAST_ARCHITECTURES = {"bert", "resnet"}
# torch.export takes a reshape after their transposed attention for a view.
TRACED = {"t5", "swin"}
