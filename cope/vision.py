"""The visual tower: X-CLIP's, for clips of several frames and for single images alike.

Frames keep their own dimension from end to end, so that a batch of pages can never be taken for the frames of
one video. The layers are those of transformers, whose own forward pass has the number of frames built in.
"""

from copy import copy

import torch
from torch import nn
from transformers import XCLIPVisionConfig
from transformers.models.x_clip.modeling_x_clip import (
    XCLIPMultiframeIntegrationTransformer,
    XCLIPPreTrainedModel,
    XCLIPVisionEmbeddings,
    XCLIPVisionEncoderLayer,
)

from cope.config import CopeConfig

__all__ = ["VisualTower", "check_pixels", "multi_frame_transformer"]


class VisualTower(XCLIPPreTrainedModel):  # type: ignore[no-untyped-call] # of transformers
    """Clips to features, as in X-CLIP (Ni et al., 2022, sections 3.2 and 3.3), without its prompts.

    Every block tells the frames of one clip about each other through one message token a frame; a multi-frame
    integration transformer (MIT) then joins the features of the frames. A clip of one frame, which is a page, attends
    only to itself in the blocks; in the MIT its feature is repeated at each of the `num_frames` positions.

    Args:
        config: sizes.
    """

    config: XCLIPVisionConfig  # type: ignore[assignment] # the base class names that of a whole X-CLIP

    def __init__(self, config: CopeConfig) -> None:
        super().__init__(_blocks_config(config))
        width, self.image_size = config.vision_width, config.image_size
        self.embeddings = XCLIPVisionEmbeddings(self.config)
        self.pre_layernorm = nn.LayerNorm(width, eps=self.config.layer_norm_eps)
        self.layers = nn.ModuleList(_CrossFrameLayer(self.config) for _ in range(config.vision_layers))
        self.post_layernorm = nn.LayerNorm(width, eps=self.config.layer_norm_eps)
        self.visual_projection = nn.Linear(width, config.feature_dim, bias=False)
        self.mit = multi_frame_transformer(config, self.config)
        self.post_init()  # type: ignore[no-untyped-call]

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        """Features [b, feature_dim], not normalised, of clips.

        Args:
            pixels: [b, t, 3, image_size, image_size], normalised by ImageNet's mean and deviation; t is 1 or
                `num_frames`.

        Raises:
            ValueError: there is another number of frames, or the images have another size.
        """
        check_pixels(pixels, self.image_size, self.config.num_frames)
        n_clips, n_frames = pixels.shape[:2]
        tokens = self.pre_layernorm(self.embeddings(pixels.flatten(0, 1)))  # [b * t, 1 + patches, width]
        tokens = tokens.unflatten(0, (n_clips, n_frames))
        for layer in self.layers:
            tokens = layer(tokens)
        frames = self.visual_projection(self.post_layernorm(tokens[:, :, 0]))  # [b, t, feature_dim]
        features: torch.Tensor = self.mit(frames).pooler_output
        return features


class _CrossFrameLayer(XCLIPVisionEncoderLayer):  # type: ignore[no-untyped-call]
    """One block of X-CLIP's encoder on [b, t, tokens, width], for any number of frames t."""

    def __init__(self, config: XCLIPVisionConfig) -> None:
        super().__init__(config)  # type: ignore[arg-type] # its annotation names that of a whole X-CLIP

    def forward(self, hidden_states: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        n_tokens = hidden_states.shape[2]
        message = self.message_fc(hidden_states[:, :, 0])  # [b, t, width], of the class token of each frame
        message = message + self.message_attn(self.message_ln(message))[0]
        hidden: torch.Tensor = torch.cat([hidden_states, message[:, :, None]], dim=2).flatten(
            0, 1
        )  # [b * t, tokens + 1, width]
        hidden = hidden + self.self_attn(self.layer_norm1(hidden))[0]
        hidden = hidden[:, :n_tokens]  # each block makes messages of its own
        hidden = hidden + self.mlp(self.layer_norm2(hidden))  # [b * t, tokens, width]
        return hidden.reshape(hidden_states.shape)


def check_pixels(pixels: torch.Tensor, side: int, num_frames: int) -> None:
    """Check that pixels are [clips, 1 or num_frames, 3, side, side].

    Raises:
        ValueError: they are not.
    """
    allowed = sorted({1, num_frames})
    if pixels.ndim != 5 or pixels.shape[1] not in allowed or pixels.shape[2:] != (3, side, side):
        counts = " or ".join(map(str, allowed))
        raise ValueError(f"expected pixels [clips, {counts}, 3, {side}, {side}], got {list(pixels.shape)}")


def _blocks_config(config: CopeConfig) -> XCLIPVisionConfig:
    return XCLIPVisionConfig(
        hidden_size=config.vision_width,
        intermediate_size=4 * config.vision_width,
        num_hidden_layers=config.vision_layers,
        num_attention_heads=config.vision_heads,
        image_size=config.image_size,
        patch_size=config.patch_size,
        num_frames=config.num_frames,
    )


def multi_frame_transformer(
    config: CopeConfig, blocks: XCLIPVisionConfig | None = None
) -> XCLIPMultiframeIntegrationTransformer:
    """What joins the features of frames, [b, t, feature_dim] with t of 1 or `num_frames`.

    Args:
        config: sizes.
        blocks: configuration of the frames' tower, for its implementation of attention; None takes torch's own.
    """
    mit = _blocks_config(config) if blocks is None else copy(blocks)
    if blocks is None:
        mit._attn_implementation = "sdpa"
    mit.hidden_size = config.feature_dim
    mit.intermediate_size = 4 * config.feature_dim
    mit.num_hidden_layers = config.mit_layers
    mit.num_attention_heads = config.mit_heads
    return XCLIPMultiframeIntegrationTransformer(mit)
