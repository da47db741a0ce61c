# SPDX-License-Identifier: AGPL-3.0-or-later
"""Distils all-MiniLM-L6-v2 into a trunk of ternary linear layers that gives nearly the same sentence embeddings.

    python trunk.py --texts TEXTS.txt --minilm FOLDER --out RUN [--minutes 60] [--scale row] [--bf16] [--resume]

TEXTS.txt is what texts.py wrote. The student starts as the teacher; over the first --ramp of the run its weights turn ternary
little by little. It learns the teacher's hidden states layer by layer (their weight falls through the run), its embeddings,
and how like each other the texts of a batch are. The rate falls with the time left: --minutes is what a run takes on any
machine. RUN/log.csv has a row every 50 steps, RUN/run.pt all that --resume needs, RUN/trunk the checkpoint.
"""

import pathlib

import torch
from tokenizers import Tokenizer
from transformers import BertModel

from distil import Run, arguments, compiled, hidden_loss, pooled

LENGTH = 96  # tokens of a training text, special ones included


def main():
    parser = arguments(__doc__.split("\n\n")[0], 8e-4)
    parser.add_argument("--texts", type=pathlib.Path, required=True)
    options = parser.parse_args()
    tokenizer = Tokenizer.from_file(str(options.minilm / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(LENGTH)
    texts = options.texts.read_text(encoding="utf-8").splitlines()
    rows = [(row.ids, row.type_ids, None) for row in tokenizer.encode_batch(texts)]
    load = lambda: BertModel.from_pretrained(options.minilm, add_pooling_layer=False, attn_implementation="eager")
    run = Run(options, load(), ["hidden", "direct", "relation"])
    teacher = compiled(load().to(run.device).eval(), options)
    forward = compiled(run.student, options)

    def loss_of(student, inputs, _, done):
        mask = inputs["attention_mask"]
        with torch.autocast(run.device, dtype=torch.bfloat16, enabled=options.bf16):
            with torch.no_grad():
                theirs = teacher(**inputs, output_hidden_states=True).hidden_states
            ours = forward(**inputs, output_hidden_states=True).hidden_states
        hidden = hidden_loss(ours, theirs, mask)
        a, b = pooled(ours[-1].float(), mask), pooled(theirs[-1].float(), mask)
        direct = (1 - (a * b).sum(-1)).mean()
        relation = (a @ a.T - b @ b.T).square().mean()
        return options.hidden * (1 - 0.8 * done) * hidden + 4 * direct + 20 * relation, (hidden, direct, relation)

    run.train(lambda epoch, rng: rows, loss_of)
    run.export(options.out / "trunk")


if __name__ == "__main__":
    main()
