// SPDX-License-Identifier: AGPL-3.0-or-later
//! `bho guard check`: one text, or one a line.

use std::io::Write as _;

use bho_guard::{Guard, Mode, Policy};

use crate::cli::args::{GuardCheckArgs, ModeArg};
use crate::exit::{Exit, Failure, OrFailed as _};
use crate::input::{JsonLines, TextArg};
use crate::output::{self, card, json, style::Style};

/// Checks what the arguments name. No model is loaded.
pub(crate) fn check(args: GuardCheckArgs) -> Result<Exit, Failure> {
    super::guard_environment()?;
    let guard = Guard::new(Policy::default())?;
    let mode = match args.mode {
        ModeArg::Input => Mode::Input,
        ModeArg::Output => Mode::Output,
    };
    match (args.jsonl, args.text) {
        (Some(stream), _) => check_lines(&guard, mode, stream.json_lines()?),
        (None, Some(text)) => check_one(&guard, mode, text, args.json),
        (None, None) => Err(Failure::said(Exit::Usage, "expected a text or --jsonl FILE")),
    }
}

fn check_one(guard: &Guard, mode: Mode, text: TextArg, as_json: bool) -> Result<Exit, Failure> {
    let text = text.read()?;
    let card = guard.check("cli", &text, mode).or_failed()?.card;
    let mut out = output::stdout();
    if as_json {
        json::document(&mut out, &card)?;
    } else {
        out.write_all(card::single(&card, &Style::stdout()).as_bytes())?;
        out.flush()?;
    }
    Ok(Exit::Success)
}

fn check_lines(guard: &Guard, mode: Mode, mut lines: JsonLines) -> Result<Exit, Failure> {
    let mut out = output::stdout();
    let mut bad: u64 = 0;
    loop {
        // What is done is seen before the next line is waited for.
        if lines.may_block() {
            out.flush()?;
        }
        let Some(line) = lines.next_line()? else { break };
        let checked = line.text.and_then(|text| {
            let node = format!("line:{}", line.number);
            guard.check(&node, &text, mode).map_err(|error| error.to_string())
        });
        match checked {
            Ok(verdict) => json::line(&mut out, &verdict.card)?,
            Err(message) => {
                bad += 1;
                output::error(&format!("{}:{}: {message}", lines.name(), line.number));
            }
        }
    }
    out.flush()?;
    Ok(if bad == 0 { Exit::Success } else { Exit::Failed })
}
