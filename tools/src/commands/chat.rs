// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho chat`: messages and answers, in turn.

use bho_engine::sampling::SamplingParams;
use bho_models::decoder::Conversation;

use super::generate::open;
use crate::chat::{self, Lines, Session, Settings};
use crate::cli::generation::ChatArgs;
use crate::exit::{Exit, Failure, Interrupts};
use crate::output;

/// Talks until the lines end.
pub(crate) fn execute(args: ChatArgs) -> Result<Exit, Failure> {
    let mut conversation = match &args.load {
        Some(path) => chat::load(path)?,
        None => Conversation::default(),
    };
    if args.system.is_some() {
        conversation.set_system(args.system);
    }
    let guard = args.guard.map(|pipeline| super::guard::guard(pipeline.as_deref())).transpose()?;
    let model = open(&args.model, &args.engine)?;
    if !model.has_template() {
        let name = &model.info().name;
        let message = format!("{name} has no chat template; `bho generate` takes plain text");
        return Err(Failure::said(Exit::Failed, message));
    }
    let sampling = SamplingParams::from(&args.sampling);
    sampling.validate(model.model().config().vocab)?;
    let mut lines = Lines::open(args.history.as_deref())?;
    let mut session = Session {
        model: &model,
        chat: conversation,
        settings: Settings { sampling, max_tokens: args.max_tokens },
        stop: args.stop,
        guard,
        json: args.json,
        out: output::stdout(),
        answers: 0,
        last: None,
    };
    session.run(&mut lines, &Interrupts::catch())
}
