// SPDX-License-Identifier: AGPL-3.0-or-later
//! The verbs, one file each.

mod bench;
mod chat;
mod completions;
mod convert;
mod dev;
mod doctor;
mod embed;
mod eval;
mod eval_tasks;
mod filter;
pub(crate) mod generate;
pub(crate) mod guard;
mod inspect;
mod models;
mod ppl;
mod quantize;
mod run;
mod tune;
pub(crate) mod validate;

use crate::cli::args::{BenchVerb, GuardVerb, Verb};
use crate::cli::eval::EvalVerb;
use crate::cli::generation::DevVerb;
use crate::exit::{Exit, Failure};

/// Does what the command line asks for.
pub(crate) fn execute(verb: Verb) -> Result<Exit, Failure> {
    match verb {
        Verb::Run(args) => run::execute(args),
        Verb::Validate(args) => validate::execute(&args),
        Verb::Guard(args) => match args.verb {
            GuardVerb::Check(args) => guard::check(args),
            GuardVerb::Filter(args) => filter::execute(&args),
            GuardVerb::Reveal(args) => guard::reveal(args),
            GuardVerb::Keygen(args) => guard::keygen(&args),
            GuardVerb::Tune(args) => tune::execute(&args),
        },
        Verb::Eval(args) => match args.verb {
            EvalVerb::Guard(args) => eval::guard(&args),
            EvalVerb::Summary(args) => eval_tasks::summary(&args),
            EvalVerb::Claims(args) => eval_tasks::claims(&args),
            EvalVerb::Retrieval(args) => eval_tasks::retrieval(&args),
            EvalVerb::Similarity(args) => eval_tasks::similarity(&args),
        },
        Verb::Embed(args) => embed::execute(args),
        Verb::Convert(args) => convert::execute(args),
        Verb::Quantize(args) => quantize::execute(args),
        Verb::Inspect(args) => inspect::execute(&args),
        Verb::Bench(args) => match args.verb {
            BenchVerb::Kernels(args) => bench::kernels(args),
            BenchVerb::Encoder(args) => bench::encoder(&args),
            BenchVerb::E2e(args) => bench::e2e(&args),
        },
        Verb::Models(args) => models::execute(args.verb),
        Verb::Generate(args) => generate::execute(args),
        Verb::Chat(args) => chat::execute(args),
        Verb::Ppl(args) => ppl::execute(&args),
        Verb::Dev(args) => match args.verb {
            DevVerb::MakeModel(args) => dev::make_model(&args),
        },
        Verb::Doctor(args) => doctor::execute(&args),
        Verb::Completions(args) => completions::execute(&args),
    }
}
