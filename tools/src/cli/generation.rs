// SPDX-License-Identifier: AGPL-3.0-or-later
//! Flags of the verbs that write text.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

use super::args::text;
use super::model_files::HeadPrecision;
use crate::bench::PageSize;
use crate::input::{StreamArg, TextArg};

const GENERATE_EXAMPLES: &str = "\
Examples:
  bho generate bitnet-2b.safetensors \"What is a sub-norm?\"
  bho generate model.safetensors @prompt.txt --raw --max-tokens 64 --temperature 0
  bho generate model.safetensors \"List three rivers.\" --stop \"4.\" --seed 7 --json
  bho generate model.safetensors \"When did it end?\" --regex '[0-9]{4}-[0-9]{2}-[0-9]{2}'
  bho generate model.safetensors @letter.txt --json-schema contact.schema.json
  bho generate model.safetensors @letter.txt --guard

Text is printed as it comes. A model with a chat template gets the prompt as a user's message,
unless --raw gives it as it stands. A prompt longer than the context is an error. The same seed
gives the same text, whatever the threads. Ctrl-C ends the text; what is written stays. A text
that ends, by --max-tokens or a stop text, before it is what --regex or --json-schema asks for
exits with 1. With --guard, personal data in the prompt does not reach the model, the answer is
shown some words later than it is written, and a block of either exits with 1.";

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

    /// Hold the text to a regular expression, which it matches as a whole (syntax of Rust's regex,
    /// without look-around; at most 16 KiB)
    #[arg(long, value_name = "RE", conflicts_with = "json_schema")]
    pub(crate) regex: Option<String>,

    /// Hold the text to a JSON schema: a file, or the schema itself if it begins with { (at most 256
    /// KiB and 64 levels; no references to other documents)
    #[arg(long, value_name = "FILE|JSON")]
    pub(crate) json_schema: Option<String>,

    /// Log-probabilities of each token and of the N likeliest ones, with --json
    #[arg(long, value_name = "N", requires = "json", conflicts_with = "guard")]
    pub(crate) logprobs: Option<usize>,

    /// Guard the prompt and the answer, by the default policy or that of a pipeline (--guard=FILE)
    #[arg(long, value_name = "PIPELINE", num_args = 0..=1, require_equals = true, value_hint = ValueHint::FilePath)]
    pub(crate) guard: Option<Option<PathBuf>>,

    /// Print the text, why it ended and timings as JSON when it is done
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

const CHAT_EXAMPLES: &str = "\
Examples:
  bho chat bitnet-2b.safetensors
  bho chat model.safetensors --system \"Answer in one sentence.\" --temperature 0
  printf 'Who wrote Faust?\\nWhen?\\n' | bho chat model.safetensors --json

On a terminal, lines are edited and recalled; elsewhere each line of standard input is a message.
A line that ends with \\ goes on in the next; /help lists commands, and // begins a message with a
slash. Answers stream. Ctrl-C ends an answer, and what was said stays; at the prompt, twice in a
row ends the chat. What the model has read it does not read again. When the context is full, the
oldest turns are forgotten, the system message never. Nothing is kept on disk unless --history or
/save says so. With --guard, messages and answers are what the guard lets through, for the model, on
the screen and in /save; answers are shown some words later than they are written.";

#[derive(Debug, Args)]
#[command(after_help = CHAT_EXAMPLES)]
pub(crate) struct ChatArgs {
    /// Model file that `bho convert` wrote, with a chat template
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,

    /// A system message before the chat
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,

    /// Go on with a chat that /save wrote
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) load: Option<PathBuf>,

    /// Keep the lines that are typed on a terminal in this file, readable by its owner only
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) history: Option<PathBuf>,

    /// Most tokens of an answer
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1024, value_parser = positions)]
    pub(crate) max_tokens: usize,

    /// A text that ends an answer; may be given several times
    #[arg(long, value_name = "TEXT")]
    pub(crate) stop: Vec<String>,

    /// Guard the messages and the answers, by the default policy or that of a pipeline (--guard=FILE)
    #[arg(long, value_name = "PIPELINE", num_args = 0..=1, require_equals = true, value_hint = ValueHint::FilePath)]
    pub(crate) guard: Option<Option<PathBuf>>,

    /// Print one JSON object a turn
    #[arg(long)]
    pub(crate) json: bool,

    #[command(flatten)]
    pub(crate) sampling: SamplingArgs,

    #[command(flatten)]
    pub(crate) engine: EngineArgs,
}

const PPL_EXAMPLES: &str = "\
Examples:
  bho ppl bitnet-2b.safetensors wikitext-2.txt
  bho ppl model.safetensors text.txt --ctx 2048 --stride 512 --chunks 20 --json

The text is read in windows of --ctx tokens that begin every --stride tokens; each token is scored
once, behind all tokens of its window before it. A lower stride gives each token more to go by and
takes longer. Perplexity is exp(m), m the mean negative log-likelihood of a token; the interval is
exp(m -/+ 1.96 standard errors of m). Bits per byte compare across tokenizers. Ctrl-C prints what
is found so far.";

#[derive(Debug, Args)]
#[command(after_help = PPL_EXAMPLES)]
pub(crate) struct PplArgs {
    /// Model file that `bho convert` wrote
    #[arg(value_name = "MODEL", value_hint = ValueHint::FilePath)]
    pub(crate) model: PathBuf,

    /// The text, or - for standard input: UTF-8, at most 4 MiB
    #[arg(value_name = "FILE|-", value_parser = super::args::stream(), value_hint = ValueHint::FilePath)]
    pub(crate) file: StreamArg,

    /// Tokens of a window, the one that opens a text included; the model's own context bounds it
    #[arg(long, value_name = "N", default_value_t = 512, value_parser = positions)]
    pub(crate) ctx: usize,

    /// Tokens between the begins of windows [default: half of --ctx]
    #[arg(long, value_name = "N", value_parser = positions)]
    pub(crate) stride: Option<usize>,

    /// Windows to read at most [default: all]
    #[arg(long, value_name = "N", value_parser = positions)]
    pub(crate) chunks: Option<usize>,

    /// How keys and values are cached
    #[arg(long, value_enum, value_name = "KIND", default_value_t = KvArg::F16)]
    pub(crate) kv: KvArg,

    /// Threads [default: all this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,

    /// Print the result as JSON
    #[arg(long)]
    pub(crate) json: bool,
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
  bho dev make-model tiny.safetensors --shape 1m --tokenizer

Without --tokenizer, `bho bench e2e` can use the file, `bho generate` cannot. The same shape, seed
and flags give the same bytes.";

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

    /// How the output head is stored
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = HeadPrecision::Int8)]
    pub(crate) head: HeadPrecision,

    /// Put a tokenizer of single bytes and a chat template in it: text comes out, if without sense
    #[arg(long)]
    pub(crate) tokenizer: bool,

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

ppN reads a prompt of N tokens, tgN writes N tokens behind an empty prompt, as llama-bench has
them; 2 x tgN writes two such texts at the same time, with the time that takes over that of one.
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

    /// Texts written side by side, beside one alone; 1 leaves that out
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) concurrent: u32,

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
