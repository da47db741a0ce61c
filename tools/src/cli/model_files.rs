// SPDX-License-Identifier: AGPL-3.0-or-later
//! Flags of the verbs that make model files and look into them.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

const CONVERT_EXAMPLES: &str = "\
Examples:
  bho convert all-MiniLM-L6-v2/ minilm.safetensors
  bho convert bitnet-b1.58-2B-4T/ bitnet.safetensors --licence MIT
  bho convert SmolLM2-135M-Instruct.Q4_1.gguf smollm2.safetensors
  bho convert bitnet-embedding-0.6b/ embedder.safetensors --embed int8
  bho convert trunk/ reasoner.safetensors --judge judge/ --weights ternary
  bho convert model/ out.safetensors --name my-encoder --licence Apache-2.0 --force --json

SRC is a directory with config.json, tokenizer files and safetensors (one file or several), or a GGUF
file. The result is one file with packed weights, configuration, tokenizer and chat template inside,
which runs where it is mapped; it appears under its name only when it is whole. Ctrl-C leaves nothing
behind. Encoders (BERT) become int8, or ternary if trained for it; decoders keep
ternary weights as they are.";

#[derive(Debug, Args)]
#[command(after_help = CONVERT_EXAMPLES)]
pub(crate) struct ConvertArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// What linear layers in plain floats become; ternary ones stay ternary
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Precision::Int8)]
    pub(crate) weights: Precision,

    /// Encoders: a second checkpoint, with a sequence head and the same tokenizer, that classifies for
    /// the first; tensors that both have are stored once
    #[arg(long, value_name = "CHECKPOINT", value_hint = ValueHint::AnyPath)]
    pub(crate) judge: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) decoder: DecoderArgs,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const QUANTIZE_EXAMPLES: &str = "\
Examples:
  bho quantize llama-checkpoint/ ternary.safetensors
  bho quantize llama-checkpoint/ ternary.safetensors --scales row
  bho quantize SmolLM2-135M-Instruct.Q4_1.gguf int8.safetensors --to int8 --json

SRC holds floats: a directory with safetensors, or a GGUF file of any type that is read. Ternary weights
are rounded to the absolute mean of the matrix or of each row (arXiv:2402.17764); linear layers only, as
in BitNet. For each tensor the relative Frobenius error, the largest error, the share of zeros and the
cosine are printed. A model that was not trained to be ternary does not survive it: this is for masters
of ternary models, for experiments and as a start for training. int8 costs next to nothing.";

#[derive(Debug, Args)]
#[command(after_help = QUANTIZE_EXAMPLES)]
pub(crate) struct QuantizeArgs {
    #[command(flatten)]
    pub(crate) files: FileArgs,

    /// What linear layers become
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Target::Ternary)]
    pub(crate) to: Target,

    /// What of a ternary layer shares a scale
    #[arg(long, value_enum, value_name = "WHAT", default_value_t = Scales::Tensor)]
    pub(crate) scales: Scales,

    #[command(flatten)]
    pub(crate) decoder: DecoderArgs,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// From where to where, and what is recorded about it.
#[derive(Debug, Args)]
pub(crate) struct FileArgs {
    /// Hugging Face model directory, a GGUF file, or a model of the store
    #[arg(value_name = "SRC", value_hint = ValueHint::AnyPath)]
    pub(crate) src: PathBuf,

    /// File to write
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) out: PathBuf,

    /// Name recorded in the file [default: the name of SRC]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Where the weights come from, recorded in the file
    #[arg(long, value_name = "TEXT")]
    pub(crate) source: Option<String>,

    /// Which version of the source, recorded in the file
    #[arg(long, value_name = "TEXT")]
    pub(crate) revision: Option<String>,

    /// Licence of the weights, recorded in the file
    #[arg(long, value_name = "SPDX")]
    pub(crate) licence: Option<String>,

    /// Replace OUT if it exists
    #[arg(long)]
    pub(crate) force: bool,

    /// GGUF: I2_S tensors were quantized on Arm, not on x86; the file does not say
    #[arg(long)]
    pub(crate) i2s_arm: bool,
}

/// How a decoder is stored, its linear layers aside.
#[derive(Debug, Args)]
pub(crate) struct DecoderArgs {
    /// Decoders: how the output head is stored
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = HeadPrecision::Int8)]
    pub(crate) head: HeadPrecision,

    /// Decoders: how the embedding table is stored
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = Table::Auto)]
    pub(crate) embed: Table,

    /// Decoders: ternary weights in 1.6 bits instead of 2, for CPUs with AVX-512 VNNI
    #[arg(long)]
    pub(crate) dense: bool,
}

/// How the output head of a decoder is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum HeadPrecision {
    /// 8 bits with a scale per row
    Int8,
    /// 4 bits with a scale per 32 inputs: fewer bytes a token, a coarser choice of tokens
    Int4,
    /// half precision
    F16,
    /// as it is, in single precision
    F32,
}

/// How linear layers in floats are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Precision {
    /// 8 bits with a scale per row
    Int8,
    /// -1, 0 or +1 times a scale; of encoders, as ternary_scale in the config says
    Ternary,
    /// decoders: as they are, in single precision
    F32,
}

/// How the embedding table of a decoder is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Table {
    /// not at all where the output head shares its weights, else as own
    Auto,
    /// 8 bits with a scale per row; with an int8 head of the same weights, as auto
    Int8,
    /// 16 bits, beside an output head that shares its weights too
    F16,
    /// as it is, beside an output head that shares its weights too
    Own,
}

/// What a checkpoint is quantized to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Target {
    /// -1, 0 or +1 times a scale
    Ternary,
    /// 8 bits with a scale per row
    Int8,
}

/// What shares a scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scales {
    /// the whole matrix, as in BitNet
    Tensor,
    /// each output row
    Row,
}

const INSPECT_EXAMPLES: &str = "\
Examples:
  bho inspect model.safetensors
  bho inspect model.gguf --template
  bho inspect checkpoint/ --audit
  bho inspect model.safetensors --json | jq -r .sha256

FILE is what `bho convert` wrote, a safetensors file, a GGUF file, or a directory with a checkpoint in
one file or several. --audit reads everything in it and lists all findings: it exits with 1 if one of
them is severe. A file whose header is broken is an error.";

#[derive(Debug, Args)]
#[command(after_help = INSPECT_EXAMPLES)]
pub(crate) struct InspectArgs {
    /// Model file, a directory with a checkpoint, or a model of the store
    #[arg(value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) file: PathBuf,

    /// Look for what is wrong: shapes, values, tokens, the chat template, provenance
    #[arg(long)]
    pub(crate) audit: bool,

    /// Print the chat template and nothing else
    #[arg(long, conflicts_with_all = ["audit", "json"])]
    pub(crate) template: bool,

    /// Show all metadata and the chat template
    #[arg(long, short)]
    pub(crate) verbose: bool,

    /// Print everything as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
