// SPDX-License-Identifier: AGPL-3.0-or-later
//! Flags of the verbs that write text.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::args::text;
use crate::bench::PageSize;
use crate::input::TextArg;

const GENERATE_EXAMPLES: &str = "\
Examples:
  bho generate bitnet-2b.safetensors \"What is a sub-norm?\"
  bho generate model.safetensors @prompt.txt --raw --max-tokens 64 --temperature 0
  bho generate model.safetensors \"List three rivers.\" --stop \"4.\" --seed 7 --json

Text is printed as it comes. A model with a chat template gets the prompt as a user's message, unless
--raw gives it as it stands. The same seed gives the same text, whatever the threads. Ctrl-C ends the
text; what is written stays.";

#[derive(Debug, Args)]
#[command(after_help = GENERATE_EXAMPLES)]
pub(crate) struct GenerateArgs {
    /// Model file that `bho convert` wrote, or a model of the store
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,

    /// The prompt: as is, from a file (@FILE), or from standard input (-)
    #[arg(value_name = "TEXT|@FILE|-", allow_hyphen_values = true, value_parser = text())]
    pub(crate) prompt: TextArg,

    /// Give the prompt as it stands, without the chat template
    #[arg(long, conflicts_with = "system")]
    pub(crate) raw: bool,

    /// A system message before the prompt
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,

    /// Most tokens to write; 0 only reads the prompt
    #[arg(long, short = 'n', value_name = "N", default_value_t = 256)]
    pub(crate) max_tokens: usize,

    /// A text that ends the answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,

    /// Log-probabilities of each token and of the N likeliest ones, with --json
    #[arg(long, value_name = "N", requires = "json")]
    pub(crate) logprobs: Option<usize>,

    /// Print the text, why it ended and timings as JSON when it is done
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

/// How tokens are chosen.
#[derive(Debug, Args)]
#[command(next_help_heading = "Sampling")]
pub(crate) struct SamplingArgs {
    /// 0 takes the likeliest token each time
    #[arg(long, value_name = "T", default_value_t = 0.8)]
    pub(crate) temperature: f32,

    /// Keep the K likeliest tokens; 0 keeps all
    #[arg(long, value_name = "K", default_value_t = 40)]
    pub(crate) top_k: usize,

    /// Keep the likeliest tokens up to this probability; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.95)]
    pub(crate) top_p: f32,

    /// Keep tokens at least P times as likely as the likeliest; 0 keeps all
    #[arg(long, value_name = "P", default_value_t = 0.05)]
    pub(crate) min_p: f32,

    /// Keep locally typical tokens up to this probability; 1 keeps all
    #[arg(long, value_name = "P", default_value_t = 1.0)]
    pub(crate) typical_p: f32,

    /// Make tokens of the last 64 less likely; 1 does nothing
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub(crate) repetition_penalty: f32,

    /// Take this from the logit of each token of the last 64
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_hyphen_values = true)]
    pub(crate) presence_penalty: f32,

    /// The same for each time it stands there
    #[arg(long, value_name = "X", default_value_t = 0.0, allow_hyphen_values = true)]
    pub(crate) frequency_penalty: f32,

    /// Seed of the draw
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,
}

/// What the engine may use.
#[derive(Debug, Args)]
#[command(next_help_heading = "Engine")]
pub(crate) struct EngineArgs {
    /// Positions of a text, the prompt included; the model's own context bounds it too
    #[arg(long, value_name = "N", default_value_t = 4096, value_parser = positions)]
    pub(crate) context: usize,

    /// How keys and values are cached
    #[arg(long, value_enum, value_name = "KIND", default_value_t = KvArg::F16)]
    pub(crate) kv: KvArg,

    /// Where weights are read from: the mapped file, huge pages that they are moved to first, or first
    /// the one and then the other, as far as half of the free memory goes
    #[arg(long, value_enum, value_name = "WHERE", default_value_t = PagesArg::Auto)]
    pub(crate) pages: PagesArg,

    /// Threads [default: all this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
}

fn positions(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(n @ 1..=16_777_216) => Ok(n),
        _ => Err("expected a number from 1 to 16777216".into()),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum PagesArg {
    /// from the mapped file at once; moved to huge pages behind the first tokens
    Auto,
    /// from the mapped file, whose pages other processes share
    Mmap,
    /// moved to huge pages before the first token
    Huge,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum KvArg {
    /// half precision
    F16,
    /// 8 bits with a scale per head: half the memory, a little coarser
    Int8,
    /// single precision
    F32,
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct DevArgs {
    #[command(subcommand)]
    pub(crate) verb: DevVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum DevVerb {
    /// Write a model with random weights, to measure speed and memory with.
    MakeModel(MakeModelArgs),
}

const MAKE_MODEL_EXAMPLES: &str = "\
Examples:
  bho dev make-model random-2b.safetensors --shape 2b-4t
  bho dev make-model dense.safetensors --shape 100m --dense --seed 3

The file has no tokenizer: `bho bench e2e` can use it, `bho generate` cannot. The same shape, seed and
flags give the same bytes.";

#[derive(Debug, Args)]
#[command(after_help = MAKE_MODEL_EXAMPLES)]
pub(crate) struct MakeModelArgs {
    /// The file
    #[arg(value_name = "OUT", value_hint = ValueHint::FilePath)]
    pub(crate) out: PathBuf,

    /// Shape of the model: 2b-4t (microsoft/bitnet-b1.58-2B-4T), 100m, 1m
    #[arg(long, value_name = "NAME", default_value = "2b-4t")]
    pub(crate) shape: String,

    /// Seed of the weights
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Ternary weights in 1.6 bits instead of 2
    #[arg(long)]
    pub(crate) dense: bool,

    /// Replace an existing file
    #[arg(long)]
    pub(crate) force: bool,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const BENCH_E2E_EXAMPLES: &str = "\
Examples:
  bho dev make-model random-2b.safetensors --shape 2b-4t
  bho bench e2e random-2b.safetensors
  bho bench e2e model.safetensors --prompts 128,512 --generate 64 --threads 1,2 --rounds 5 --json

ppN reads a prompt of N tokens, tgN writes N tokens behind an empty prompt, as llama-bench has them.
The share of the limit is bytes of weights per token over what this machine reads from main memory
in a second. Close everything else.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_E2E_EXAMPLES)]
pub(crate) struct BenchE2eArgs {
    /// Model file that `bho convert` or `bho dev make-model` wrote, or a model of the store
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,

    /// Prompts, in tokens
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "128,512", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) prompts: Vec<u32>,

    /// Tokens to write
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "64", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) generate: Vec<u32>,

    /// Threads [default: 1, and all this process may use]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Vec<u32>,

    /// Pages that weights are read from: of the mapped file, or huge ones that they are moved to first
    #[arg(long, value_enum, value_name = "SIZE", default_value_t = PageSize::Small)]
    pub(crate) pages: PageSize,

    /// How often each is measured
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// How keys and values are cached
    #[arg(long, value_enum, value_name = "KIND", default_value_t = KvArg::F16)]
    pub(crate) kv: KvArg,

    /// Print everything as JSON
    #[arg(long)]
    pub(crate) json: bool,
}
