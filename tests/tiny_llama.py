"""Makes a tiny random Llama as a checkpoint of Hugging Face's layout: what vLLM loads, and no sense.

Run by an environment that has torch, transformers and tokenizers (vLLM's own):

    PYTHON tests/tiny_llama.py FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

MESSAGES = "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}<|end|>{% endfor %}"
TEMPLATE = MESSAGES + "{% if add_generation_prompt %}<|assistant|>{% endif %}"
SPECIAL = ("<|end|>", "<|system|>", "<|user|>", "<|assistant|>")
SENTENCES = (
    "We are open from nine in the morning until six in the evening, Monday to Saturday.",
    "The cheapest plan costs three hundred and ninety nine rupees a month.",
    "What we know: Opening hours. The caller says: when are you open?",
    "नमस्ते, मैं आपकी क्या मदद कर सकती हूँ?",
)
CONTEXT_TOKENS = 8192


def make(folder: Path, seed: int = 7) -> None:
    """Write config, weights (bfloat16, 2.8 M of them) and tokenizer with a chat template."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(seed)
    tokenizer = _tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=CONTEXT_TOKENS,
        eos_token_id=tokenizer.convert_tokens_to_ids("<|end|>"),
        bos_token_id=None,
        tie_word_embeddings=False,
    )
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer() -> Any:
    """Byte-level BPE: any text in any script has tokens."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=830,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(SENTENCES * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|end|>", chat_template=TEMPLATE
    )


if __name__ == "__main__":
    make(Path(sys.argv[1]))
