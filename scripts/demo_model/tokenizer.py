"""Make the bundled model's CLIP tokenizer: a byte-pair vocabulary in which every word below is one token."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

from transformers import CLIPTokenizer

from loratory.demo.drawing import COLOURS, PATTERNS, POSITIONS, SHAPES, SIZES

GRAMMAR = "a an the picture of on in at background center".split()

SPARE = "lory ohwx sks zwx bip mika tavi noru".split()
"""Words the model never saw in training: each is one token, free to be taught something new."""

EVERYDAY = """
and with by to from for is are near over under above below behind two three photo image drawing painting style
cat dog bird fish horse man woman person boy girl child face hand eye tree flower grass sky sea water mountain
house car street city room table chair cup coffee bottle shoe hat shirt dress ball book toy light dark bright
gray grey brown gold silver big little old new wooden metal glass stone rocket moon sun star cloud snow fire
portrait close up side view front back left right standing sitting running looking holding wearing
""".split()
"""Common caption words, so that captions of real photographs fit into 75 tokens. Not trained either."""


def byte_characters() -> list[str]:
    """The 256 printable characters that stand for the bytes 0 to 255 in CLIP's (and GPT-2's) vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    stand_in = 256
    characters = {}
    for byte in range(256):
        if byte in printable:
            characters[byte] = chr(byte)
        else:
            characters[byte] = chr(stand_in)
            stand_in += 1
    return [characters[byte] for byte in printable] + [characters[b] for b in range(256) if b not in printable]


def learn_merges(words: list[str]) -> list[tuple[str, str]]:
    """Byte-pair encoding: merge the most frequent neighbours until every word is one piece."""
    pieces = {word: [*word[:-1], word[-1] + "</w>"] for word in dict.fromkeys(words)}
    merges = []
    while True:
        pairs = Counter(pair for parts in pieces.values() for pair in pairwise(parts))
        if not pairs:
            return merges
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        for word, parts in pieces.items():
            merged, i = [], 0
            while i < len(parts):
                if tuple(parts[i : i + 2]) == best:
                    merged.append(parts[i] + parts[i + 1])
                    i += 2
                else:
                    merged.append(parts[i])
                    i += 1
            pieces[word] = merged


def make_tokenizer(folder: Path) -> CLIPTokenizer:
    words = [*GRAMMAR, *COLOURS, *SHAPES, *SIZES, *PATTERNS, *POSITIONS, *SPARE, *EVERYDAY]
    merges = learn_merges(words)
    base = byte_characters()
    tokens = [*base, *(c + "</w>" for c in base), *(a + b for a, b in merges), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: i for i, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = CLIPTokenizer(vocab=vocabulary, merges=merges, model_max_length=77)
    tokenizer.save_pretrained(folder)
    for word in words:
        ids = tokenizer(word).input_ids
        if len(ids) != 3:
            raise RuntimeError(f"{word!r} became {len(ids) - 2} tokens; the merge table is wrong")
    return tokenizer
