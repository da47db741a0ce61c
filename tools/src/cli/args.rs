// SPDX-License-Identifier: AGPL-3.0-or-later
//! Verbs and flags as they are written, with the text of `--help` beside each.
//!
//! Nothing here is resolved: the commands turn these into what they work with.

use std::path::PathBuf;

use clap::builder::{OsStringValueParser, TypedValueParser as _};
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum, ValueHint};

use super::eval::{EvalArgs, GuardTuneArgs};
use super::generation::{BenchE2eArgs, ChatArgs, DevArgs, GenerateArgs, PplArgs};
use super::model_files::{ConvertArgs, InspectArgs, QuantizeArgs};
use super::models::ModelsArgs;
use super::vault::{GuardKeygenArgs, GuardRevealArgs};
use crate::bench::{Op, PageSize, Shape};
use crate::input::{StreamArg, TextArg};

const EXIT_STATUS: &str = "\
Exit status:
  0    done; a run that is `partial` counts, and so does a guard check, whatever it found
  1    the job failed: a blocked or failed run, an invalid pipeline, a bad model file or line
  2    wrong usage, or the environment: a missing file, no permission, a bad variable
  130  interrupted

Environment:
  BHO_ISA           forces a kernel backend, e.g. BHO_ISA=scalar (`bho doctor` lists them)
  GUARD_REGEX_ONLY  1 keeps the guard to its rules, without its models
  TINYBERT_PATH     a model for the guard in the place of the bundled one of its kind;
                    TINYBERT_TOKENIZER_DIR names the folder of its tokenizer
  BHO_MODELS_DIR    folder of the model store (`bho models --help`)
  NO_COLOR          switches colours off; they are used on a terminal only";

/// Guarded pipelines of small models on ordinary CPUs.
#[derive(Debug, Parser)]
#[command(name = "bho", version, after_help = EXIT_STATUS, arg_required_else_help = true)]
#[command(disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run a pipeline on a text or a JSON source.
    Run(RunArgs),
    /// Check a pipeline file and list every fault with its line and column.
    Validate(ValidateArgs),
    /// Check texts for personal data and jailbreak attempts.
    Guard(GuardArgs),
    /// Measure on labelled data.
    Eval(EvalArgs),
    /// Write text with a language model.
    Generate(GenerateArgs),
    /// Talk with a language model.
    Chat(ChatArgs),
    /// Measure how well a language model predicts a text: perplexity and bits per byte.
    Ppl(PplArgs),
    /// Turn texts into vectors.
    Embed(EmbedArgs),
    /// Make one model file from a Hugging Face model directory or a GGUF file.
    Convert(ConvertArgs),
    /// Round float weights to ternary or int8, and tell what it costs.
    Quantize(QuantizeArgs),
    /// Show what is in a model file, and look for what is wrong with it.
    Inspect(InspectArgs),
    /// List, show, verify, pull and remove models.
    Models(ModelsArgs),
    /// Measure how fast this machine is and what the kernels make of it.
    Bench(BenchArgs),
    /// Show what this machine offers and what the program makes of it.
    Doctor(DoctorArgs),
    /// Print a completion script for a shell.
    Completions(CompletionsArgs),
    /// Tools for working on the program.
    Dev(DevArgs),
}

const RUN_EXAMPLES: &str = "\
Examples:
  bho run models/pipelines/summarize_and_verify.yml --input \"BitNet stores weights as -1, 0 or 1.\"
  bho run pipeline.yml --input @report.txt --trace trace.json
  curl -s https://example.org/a.txt | bho run pipeline.yml --input - --json
  bho run pipeline.yml --source source.json --seed 7 --threads 2

The text that is printed has passed the guard; what was blocked is never shown. A run ends as
`complete`, `partial` (a node failed, there is a text), `blocked` or `failed`; the last two exit
with 1. Ctrl-C stops the run and prints what is done; a second Ctrl-C ends the program at once.";

#[derive(Debug, Args)]
#[command(after_help = RUN_EXAMPLES)]
#[command(group = ArgGroup::new("what").required(true).args(["input", "source"]))]
pub(crate) struct RunArgs {
    /// Pipeline file (schema pipeline.v1)
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: PathBuf,

    /// The text (`source.text`): as is, from a file (@FILE), or from standard input (-)
    ///
    /// At most 64 MiB of UTF-8. A text that begins with @ is written with @@.
    #[arg(long, short, value_name = "TEXT|@FILE|-", allow_hyphen_values = true, value_parser = text())]
    pub(crate) input: Option<TextArg>,

    /// The whole source as a JSON file, or - for standard input: {"text": ...} or {"source": {"text": ...}}
    #[arg(long, value_name = "FILE", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) source: Option<StreamArg>,

    /// Print the outcome as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Write the trace of the run to this file, as JSON, atomically
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) trace: Option<PathBuf>,

    /// Seed of everything random
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Threads of a forward pass [default: device_profile.caps.cpu_threads, else all this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
}

const VALIDATE_EXAMPLES: &str = "\
Examples:
  bho validate pipeline.yml
  bho validate pipeline.yml --json | jq '.faults[].code'
  bho validate pipeline.yml --effective > with_defaults.yml

All faults are listed at once. Exits with 1 if one of them is an error; warnings and keys that are
accepted but not yet in effect leave the pipeline valid.";

#[derive(Debug, Args)]
#[command(after_help = VALIDATE_EXAMPLES)]
pub(crate) struct ValidateArgs {
    /// Pipeline file (schema pipeline.v1)
    #[arg(value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: PathBuf,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the pipeline with all its defaults; the report goes to standard error
    #[arg(long)]
    pub(crate) effective: bool,
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct GuardArgs {
    #[command(subcommand)]
    pub(crate) verb: GuardVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum GuardVerb {
    /// Check a text, or one text a line, and print the moderation card.
    Check(GuardCheckArgs),
    /// Let a text through as it comes, redacted, up to what is blocked.
    Filter(GuardFilterArgs),
    /// Turn the pseudonyms of a vault back into what they stand for.
    Reveal(GuardRevealArgs),
    /// Make a key for a vault or for keyed hashes.
    Keygen(GuardKeygenArgs),
    /// Choose thresholds on labelled texts and write them to a file that pipelines can name.
    Tune(GuardTuneArgs),
}

const GUARD_EXAMPLES: &str = "\
Examples:
  bho guard check \"Write to ann@example.org\"
  bho guard check --mode output --json @answer.txt
  bho guard check --jsonl texts.jsonl > cards.jsonl
  tail -f texts.jsonl | bho guard check --jsonl -
  bho guard check --pipeline pipeline.yml @letter.txt

With --jsonl, each line is an object with a `text`, and each card names its line as `line:N`. A bad
line is reported on standard error, the rest is processed, and the exit status is 1. Spans count
bytes of the text before redaction. A check that worked exits with 0, whatever it found.";

#[derive(Debug, Args)]
#[command(after_help = GUARD_EXAMPLES)]
#[command(group = ArgGroup::new("what").required(true).args(["text", "jsonl"]))]
pub(crate) struct GuardCheckArgs {
    /// The text: as is, from a file (@FILE), or from standard input (-)
    #[arg(value_name = "TEXT|@FILE|-", value_parser = text())]
    pub(crate) text: Option<TextArg>,

    /// Check one text a line, from a file or standard input (-), and print one card a line
    #[arg(long, value_name = "FILE|-", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) jsonl: Option<StreamArg>,

    /// Use `policies` and the guard's model of this pipeline: thresholds, operators, hash key, vault
    #[arg(long, value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: Option<PathBuf>,

    /// Side of the model the text stands on
    #[arg(long, value_enum, default_value_t = ModeArg::Input)]
    pub(crate) mode: ModeArg,

    /// Print the card as JSON (--jsonl always does)
    #[arg(long)]
    pub(crate) json: bool,
}

const FILTER_EXAMPLES: &str = "\
Examples:
  tail -f server.log | bho guard filter > clean.log
  bho guard filter --mode output --json answer.txt
  bho guard filter --pipeline pipeline.yml < letter.txt

What may be shown is written at once; the last words wait for what follows, some 140 bytes of plain
text, more beside numbers, 8 KiB at most: what is not over by then, such as an endless line of
base64, is withheld as a whole. The cuts between reads make no difference. A block ends the text and
exits with 1. Bytes that are not UTF-8 are replaced by U+FFFD; spans count bytes of the text with
them. The summary goes to standard error; with --json, each line is what was released ({\"text\",
\"redactions\"}), the last one the card ({\"card\"}). docs/guard.md says what is promised.";

#[derive(Debug, Args)]
#[command(after_help = FILTER_EXAMPLES)]
pub(crate) struct GuardFilterArgs {
    /// The text: a file, or standard input (-)
    #[arg(value_name = "FILE|-", default_value = "-", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) input: StreamArg,

    /// Use the `policies` of this pipeline: thresholds, operators, hash key and vault
    #[arg(long, value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: Option<PathBuf>,

    /// Side of the model the text stands on
    #[arg(long, value_enum, default_value_t = ModeArg::Input)]
    pub(crate) mode: ModeArg,

    /// Print what is released and the card as lines of JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ModeArg {
    /// on its way in: a user's words, a document
    Input,
    /// on its way out: what a model produced
    Output,
}

const EMBED_EXAMPLES: &str = "\
Examples:
  bho embed \"ternary weights\"
  bho embed --json @page.txt | jq '.embedding | length'
  bho embed --jsonl texts.jsonl > vectors.jsonl
  bho embed --model my-encoder.safetensors --json \"text\"
  bho embed --model bitnet-embedding.safetensors --prompt query \"how long do bats live?\"

Vectors have length 1, so the cosine of two is their dot product. A text longer than the model's
window is read in overlapping windows; `coverage` says so. The text is not checked by the guard.";

#[derive(Debug, Args)]
#[command(after_help = EMBED_EXAMPLES)]
#[command(group = ArgGroup::new("what").required(true).args(["text", "jsonl"]))]
pub(crate) struct EmbedArgs {
    /// The text: as is, from a file (@FILE), or from standard input (-)
    #[arg(value_name = "TEXT|@FILE|-", value_parser = text())]
    pub(crate) text: Option<TextArg>,

    /// Embed one text a line ({"text": ...}), from a file or standard input (-), one vector a line
    #[arg(long, value_name = "FILE|-", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) jsonl: Option<StreamArg>,

    /// Name or alias of a bundled model, a model file, or a model of the store
    #[arg(long, value_name = "NAME|PATH", default_value = crate::models::DEFAULT_EMBEDDER)]
    pub(crate) model: String,

    /// Put this prompt of the model before each text, e.g. query; \"\" is none [default: the model's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Option<String>,

    /// Print the whole vector as JSON (--jsonl always does)
    #[arg(long)]
    pub(crate) json: bool,

    /// Threads of a forward pass [default: all this process may use]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Option<u32>,
}

#[derive(Debug, Args)]
#[command(disable_help_subcommand = true)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    pub(crate) verb: BenchVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchVerb {
    /// Hold the matrix kernels of every backend against the limits of this CPU.
    Kernels(BenchKernelsArgs),
    /// Time forward passes of the bundled encoder.
    Encoder(BenchEncoderArgs),
    /// Time a language model: prompts read and tokens written a second.
    E2e(BenchE2eArgs),
}

const BENCH_KERNELS_EXAMPLES: &str = "\
Examples:
  bho bench kernels --quick
  bho bench kernels --svg roofline.svg --json > kernels.json
  bho bench kernels --isa avx2,avx512_vnni --op ternary --shapes 2560x6912 --tokens 1,128 --plot

First this CPU's limits are measured: bytes read a second from each cache and from main memory, on
small and on huge pages, and int8 multiply-adds a second of each instruction set. Then each backend
multiplies packed weights by N tokens, checked against another backend first. Times and rates are
medians; beside them stands the share of the limit that the best sample reached. The limit, best of
its samples too, is the lower of the bandwidth of where the weights come from and the int8 peak. One
token (N = 1) is measured twice: with the same matrix over and over, from the cache that holds it,
and with a ring of matrices larger than all caches, from main memory (DRAM), as a decoder reads
them. 2560x6912 is 2560 outputs of 6912 inputs.

Dense weights are left out beyond 4 tokens unless --op asks for them: they are unpacked first then.

Close everything else: figures compare within one run only. All of it takes two to three minutes,
--quick about 15 seconds. Ctrl-C prints what is measured so far.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_KERNELS_EXAMPLES)]
pub(crate) struct BenchKernelsArgs {
    /// Two shapes and two numbers of tokens, fewer samples, and no scalar backend beside others
    #[arg(long)]
    pub(crate) quick: bool,

    /// Weights to multiply by: ternary, dense (ternary in 1.6 bits), int8 [default: all]
    #[arg(long, value_enum, value_name = "OP", value_delimiter = ',', hide_possible_values = true)]
    pub(crate) op: Vec<Op>,

    /// Backends, by name [default: all of this machine, or the one BHO_ISA names]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) isa: Vec<String>,

    /// Weight matrices, as outputs x inputs [default: layers of BitNet b1.58 2B4T and two larger ones]
    #[arg(long, value_name = "ROWSxCOLS", value_delimiter = ',')]
    pub(crate) shapes: Vec<Shape>,

    /// Tokens side by side [default: 1,8,32,128,512]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) tokens: Vec<u32>,

    /// Threads [default: 1, and all this process may use]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Vec<u32>,

    /// Pages that weights in main memory lie on: small, huge [default: both]
    #[arg(
        long,
        value_enum,
        value_name = "SIZE",
        value_delimiter = ',',
        hide_possible_values = true
    )]
    pub(crate) pages: Vec<PageSize>,

    /// Memory to measure DRAM with, for each page size [default: four times the last cache, at most
    /// a quarter of what is free]
    #[arg(long, value_name = "MB", value_parser = clap::value_parser!(u32).range(1..=65536))]
    pub(crate) arena_mb: Option<u32>,

    /// Write the roofline as a picture to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) svg: Option<PathBuf>,

    /// Print the roofline below the tables
    #[arg(long, conflicts_with = "json")]
    pub(crate) plot: bool,

    /// Print machine, limits and all rows as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const BENCH_ENCODER_EXAMPLES: &str = "\
Examples:
  bho bench encoder
  bho bench encoder --isa avx2,avx512_vnni --tokens 128 --json
  bho bench encoder --model reasoner.safetensors --tokens 128

Token ids in, a vector a token out, one sequence at a time; the tokenizer is not in the time. All
backends and numbers of threads must give the same vectors.";

#[derive(Debug, Args)]
#[command(after_help = BENCH_ENCODER_EXAMPLES)]
pub(crate) struct BenchEncoderArgs {
    /// Encoder to time, a BERT file or model name [default: the bundled one]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub(crate) model: Option<PathBuf>,

    /// Backends, by name [default: the one that runs would use]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub(crate) isa: Vec<String>,

    /// Tokens of the sequence, special ones included [default: 16,64,128,256]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub(crate) tokens: Vec<u32>,

    /// Threads of a pass [default: 1, and all this process may use]
    #[arg(long, value_name = "N", value_delimiter = ',', value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: Vec<u32>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const DOCTOR_EXAMPLES: &str = "\
Examples:
  bho doctor
  BHO_ISA=scalar bho doctor --json | jq .kernels

Exits with 1 if something is wrong that would keep a run from working.";

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_EXAMPLES)]
pub(crate) struct DoctorArgs {
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  bho completions bash > ~/.local/share/bash-completion/completions/bho
  bho completions zsh > ~/.zfunc/_bho";

#[derive(Debug, Args)]
#[command(after_help = COMPLETIONS_EXAMPLES)]
pub(crate) struct CompletionsArgs {
    /// Shell to complete for
    #[arg(value_enum)]
    pub(crate) shell: clap_complete::Shell,
}

pub(super) fn text() -> impl clap::builder::TypedValueParser<Value = TextArg> {
    OsStringValueParser::new().map(TextArg::from)
}

pub(super) fn stream() -> impl clap::builder::TypedValueParser<Value = StreamArg> {
    OsStringValueParser::new().map(StreamArg::from)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
