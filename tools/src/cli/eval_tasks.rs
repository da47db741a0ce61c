// SPDX-License-Identifier: AGPL-3.0-or-later
//! Flags of `bho eval summary`, `claims`, `retrieval` and `similarity`.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::args::stream;
use crate::input::StreamArg;

/// Labelled lines and how to read them.
#[derive(Debug, Args)]
pub(crate) struct LinesArgs {
    /// Lines of JSON objects, or - for standard input; may be given several times
    #[arg(long, required = true, value_name = "FILE|-", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) data: Vec<StreamArg>,

    /// Key that sorts the lines into groups [default: group, else the file where there are several]
    #[arg(long, value_name = "KEY")]
    pub(crate) group: Option<String>,

    /// Read so many lines of each file
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) limit: Option<u64>,
}

/// The models behind an agent.
#[derive(Debug, Args)]
pub(crate) struct AgentOfArgs {
    /// Use the `models` of this pipeline
    #[arg(long, value_name = "PIPELINE", value_hint = ValueHint::FilePath)]
    pub(crate) pipeline: Option<PathBuf>,

    /// Use this reasoner: a bundled model, a model of the store, or a file [default: the bundled reasoner]
    #[arg(long, value_name = "NAME|PATH", conflicts_with = "pipeline", value_hint = ValueHint::FilePath)]
    pub(crate) model: Option<String>,

    /// Threads of a model's forward pass; lines are taken one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: u32,
}

/// An embedder.
#[derive(Debug, Args)]
pub(crate) struct EmbedderArgs {
    /// Name or alias of a bundled model, a model file, or a model of the store
    #[arg(long, value_name = "NAME|PATH", default_value = crate::models::DEFAULT_EMBEDDER)]
    pub(crate) model: String,

    /// Threads of a forward pass; lines are taken one after the other
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub(crate) threads: u32,
}

/// What is made of the figures.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Resamples behind the intervals; 0 is none
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(..=100_000))]
    pub(crate) bootstrap: u32,

    /// Seed of the resamples
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(crate) seed: u64,

    /// Leave texts out of the report
    #[arg(long)]
    pub(crate) no_texts: bool,

    /// Write a page with pictures and the worst mistakes to this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) html: Option<PathBuf>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SUMMARY_EXAMPLES: &str = "\
Examples:
  bho eval summary --data labelled.jsonl
  bho eval summary --data scitldr_test.jsonl --sentences 1 --stem --oracle --html report.html
  bho eval summary --data news.jsonl --pipeline pipeline.yml --json > report.json

A line holds a text and summaries that people wrote of it: {\"text\": \"...\", \"references\": [\"...\"]},
or \"sentences\": [\"...\"] in the place of \"text\". SciTLDR's {\"source\": [...], \"target\": [...]} does
too.

The agent bitnet.summarizer is asked for so many sentences, and held beside the first sentences
(lead) and TextRank's, by ROUGE-1, 2, L and Lsum as the rouge-score package computes them. Intervals
are 95 % bootstrap intervals over texts, those of differences paired. docs/evaluation.md defines
every figure. A line that cannot be used ends in exit status 1.";

#[derive(Debug, Args)]
#[command(after_help = SUMMARY_EXAMPLES)]
pub(crate) struct EvalSummaryArgs {
    #[command(flatten)]
    pub(crate) lines: LinesArgs,

    /// Sentences of a summary, the agent's and the baselines'
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) sentences: u32,

    /// Compare Porter stems instead of words
    #[arg(long)]
    pub(crate) stem: bool,

    /// Add the best sentences one could take, chosen with the references at hand
    #[arg(long)]
    pub(crate) oracle: bool,

    #[command(flatten)]
    pub(crate) agent: AgentOfArgs,

    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

const CLAIMS_EXAMPLES: &str = "\
Examples:
  bho eval claims --data labelled.jsonl
  bho eval claims --data foolmetwice_dev.jsonl --evidence retrieved --html report.html
  bho eval claims --data snli_test.jsonl --data creak_dev.jsonl --threads 2 --json > report.json

A line holds a claim, its evidence and a label: {\"claim\": \"...\", \"evidence\": \"...\" or [\"...\"],
\"label\": \"supports\", \"refutes\" or \"uncertain\"}. SNLI's {\"hypothesis\", \"premise\", \"label\"} and
CREAK's {\"sentence\", \"explanation\", \"label\"} do too.

The agent bitnet.claimcheck is given the evidence as its knowledge base. Where no claim is labelled
uncertain, that verdict is no answer: it counts as wrong in the accuracy, comes last in the order of
sureness, and is replaced by what the evidence leans to where all must be answered. Intervals are
95 % bootstrap intervals over claims. docs/evaluation.md defines every figure. A line that cannot be
used ends in exit status 1.";

#[derive(Debug, Args)]
#[command(after_help = CLAIMS_EXAMPLES)]
pub(crate) struct EvalClaimsArgs {
    #[command(flatten)]
    pub(crate) lines: LinesArgs,

    /// Key of the evidence [default: evidence, premise or explanation]
    #[arg(long, value_name = "KEY")]
    pub(crate) evidence: Option<String>,

    #[command(flatten)]
    pub(crate) agent: AgentOfArgs,

    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

const RETRIEVAL_EXAMPLES: &str = "\
Examples:
  bho eval retrieval --data queries.jsonl --corpus documents.jsonl
  bho eval retrieval --data stsb_test.jsonl --relevant-from 4 --html report.html
  bho eval retrieval --data q.jsonl --corpus d.jsonl --model my-embedder.safetensors --json

A line holds a query and the documents that belong to it: {\"query\": \"...\", \"relevant\": [\"id\"]}, or
with grades {\"id\": 2}. The documents are lines {\"id\": \"...\", \"text\": \"...\", \"title\": \"...\"} of
--corpus, or stand in the line of their query: \"documents\": [{\"id\": \"...\", \"text\": \"...\"}]. Of
pairs {\"a\", \"b\", \"score\"}, each b is a document, and belongs to a from a score of
--relevant-from on.

Every document is compared with the query, by the cosine of embeddings and by BM25. Intervals are
95 % bootstrap intervals over queries, those of differences paired. docs/evaluation.md defines every
figure. A line that cannot be used ends in exit status 1.";

#[derive(Debug, Args)]
#[command(after_help = RETRIEVAL_EXAMPLES)]
pub(crate) struct EvalRetrievalArgs {
    #[command(flatten)]
    pub(crate) lines: LinesArgs,

    /// Documents, one JSON object a line; may be given several times
    #[arg(long, value_name = "FILE|-", value_parser = stream(), value_hint = ValueHint::FilePath)]
    pub(crate) corpus: Vec<StreamArg>,

    /// Score from which on the texts of a pair belong together
    #[arg(long, value_name = "SCORE", default_value_t = 4.0)]
    pub(crate) relevant_from: f64,

    #[command(flatten)]
    pub(crate) embedder: EmbedderArgs,

    /// Put this prompt of the model before queries; "" is none [default: the model's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) query_prompt: Option<String>,

    /// Put this prompt of the model before documents; "" is none [default: the model's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) document_prompt: Option<String>,

    #[command(flatten)]
    pub(crate) report: ReportArgs,
}

const SIMILARITY_EXAMPLES: &str = "\
Examples:
  bho eval similarity --data stsb_test.jsonl
  bho eval similarity --data stsb_test.jsonl --model embedding.safetensors --html report.html

A line holds two texts and how alike people find them, on any scale: {\"a\": \"...\", \"b\": \"...\",
\"score\": 3.8}; \"sentence1\" and \"sentence2\" do too.

The cosine of the embeddings is held against the scores by Spearman's and Pearson's coefficient,
beside the cosine of the word counts. Intervals are 95 % bootstrap intervals over pairs.
docs/evaluation.md defines every figure. A line that cannot be used ends in exit status 1.";

#[derive(Debug, Args)]
#[command(after_help = SIMILARITY_EXAMPLES)]
pub(crate) struct EvalSimilarityArgs {
    #[command(flatten)]
    pub(crate) lines: LinesArgs,

    #[command(flatten)]
    pub(crate) embedder: EmbedderArgs,

    /// Put this prompt of the model before each text; "" is none [default: the model's own]
    #[arg(long, value_name = "NAME")]
    pub(crate) prompt: Option<String>,

    #[command(flatten)]
    pub(crate) report: ReportArgs,
}
