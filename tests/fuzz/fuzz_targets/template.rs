// SPDX-License-Identifier: AGPL-3.0-or-later
//! Chat templates from any text, and from statements and expressions that parse: an error, or a text that is
//! not too long, in bounded time and memory; never a panic, not even one that is caught.
#![no_main]

use std::time::UNIX_EPOCH;

use bho_fuzz::json::{Edit, edit};
use bho_fuzz::{Hostile, tally};
use bho_models::{ChatInput, ChatTemplate};
use libfuzzer_sys::arbitrary::{Arbitrary, Result, Unstructured};
use libfuzzer_sys::{arbitrary, fuzz_target};
use serde_json::json;

/// Longest rendering that is promised, in bytes.
const MAX_OUTPUT: usize = 16 << 20;

#[derive(Debug, Arbitrary)]
struct Input {
    source: Source,
    /// Changes of a conversation and its tools.
    edits: Vec<Edit>,
    add_generation_prompt: bool,
}

#[derive(Debug, Arbitrary)]
enum Source {
    Raw(String),
    Built(Template),
}

/// The text of a template that mostly parses.
#[derive(Debug)]
struct Template(String);

impl<'a> Arbitrary<'a> for Template {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut out = String::new();
        while !u.is_empty() && out.len() < 1 << 14 {
            statement(u, 4, &mut out)?;
        }
        Ok(Self(out))
    }
}

const NAMES: &str =
    "x y z messages message tools ns bos_token add_generation_prompt loop f g caller item";

const FIELDS: &str = "role content tool_calls x name index first last previtem items 0 length";

const TEXTS: [&str; 12] = [
    "",
    "a",
    "ab ",
    "é€",
    "\\n",
    "%Y-%m-%d",
    "role",
    "{{ x }}",
    "<|im_start|>",
    "%",
    "{}",
    "\\u{10ffff}",
];

const FILTERS: &str = "upper lower title capitalize replace length count dictsort items reverse trim join \
    split lines default d abs int float sum attr round first last min max sort list string \
    bool unique indent safe map select reject selectattr rejectattr tojson batch slice \
    format groupby escape";

const METHODS: &str = "split strip lstrip rstrip replace startswith endswith upper lower title join find \
    rfind count splitlines items keys values get index append format isdigit zfill \
    capitalize update pop removeprefix";

const TESTS: &str = "defined none string mapping sequence iterable number true false odd even \
    divisibleby(0) divisibleby(y) eq(x) in(x) gt(1) boolean integer float lower upper \
    undefined";

const OPERATORS: &str = "+ - * / // % ** ~ == != < <= > >= and or in";

const FUNCTIONS: &str =
    "range dict namespace raise_exception strftime_now f g loop loop.cycle caller";

/// Statements that need others, or spoil what is around them.
const PIECES: [&str; 14] = [
    "{% endif %}",
    "{% else %}",
    "{% endfor %}",
    "{% endmacro %}",
    "{% endset %}",
    "{% break %}",
    "{% continue %}",
    "{% raw %}{{ x }}{% endraw %}",
    "{#- {{ x }} -#}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% generation %}{% endgeneration %}",
    "{%- set ns = namespace(x='ab') -%}",
    "{% set x = messages %}{% set y = 3 %}",
];

fn one(u: &mut Unstructured<'_>, of: &[&'static str]) -> Result<&'static str> {
    u.choose(of).copied()
}

fn word(u: &mut Unstructured<'_>, of: &'static str) -> Result<&'static str> {
    let count = of.split(' ').count();
    Ok(of.split(' ').nth(u.choose_index(count)?).unwrap_or_default())
}

/// A statement with up to `depth` levels of others in it.
fn statement(u: &mut Unstructured<'_>, depth: u8, out: &mut String) -> Result<()> {
    let kind = u.int_in_range(0..=if depth == 0 { 4 } else { 11 })?;
    let name = match kind {
        0 => one(u, &TEXTS)?,
        1 => one(u, &PIECES)?,
        8 | 9 => one(u, &["f", "g"])?,
        11 => word(u, FILTERS)?,
        _ => word(u, NAMES)?,
    };
    // What stands before an expression and behind it, and what closes a block.
    let (open, value, end, close) = match kind {
        0 | 1 => (name.into(), false, "", ""),
        2 | 3 => ("{{ ".into(), true, " }}", ""),
        4 if name == "ns" => ("{% set ns.x = ".into(), true, " %}", ""),
        4 => (format!("{{% set {name} = "), true, " %}", ""),
        5 => (format!("{{% for {name} in "), true, " %}", "{% endfor %}"),
        6 => (format!("{{% for {name} in "), true, " recursive %}", "{% endfor %}"),
        7 => ("{%- if ".into(), true, " -%}", "{%- endif -%}"),
        8 => (format!("{{% macro {name}(x, y=3, z) %}}"), false, "", "{% endmacro %}"),
        9 => (format!("{{% call {name}(1, 2) %}}"), false, "", "{% endcall %}"),
        10 => (format!("{{% set {name} %}}"), false, "", "{% endset %}"),
        _ => (format!("{{% filter {name} %}}"), false, "", "{% endfilter %}"),
    };
    out.push_str(&open);
    if value {
        expression(u, 4, out)?;
    }
    out.push_str(end);
    if !close.is_empty() {
        for _ in 0..u.int_in_range(0..=3)? {
            statement(u, depth - 1, out)?;
        }
        out.push_str(close);
    }
    Ok(())
}

/// Expressions in brackets, with commas between.
fn list(u: &mut Unstructured<'_>, depth: u8, between: &str, out: &mut String) -> Result<()> {
    for i in 0..u.int_in_range(0..=3)? {
        if i > 0 {
            out.push_str(between);
        }
        expression(u, depth, out)?;
    }
    Ok(())
}

fn expression(u: &mut Unstructured<'_>, depth: u8, out: &mut String) -> Result<()> {
    let most = if depth == 0 { 4 } else { 16 };
    let kind = u.int_in_range(0..=most)?;
    let depth = depth.saturating_sub(1);
    match kind {
        0 | 1 => out.push_str(word(u, NAMES)?),
        2 => out.push_str(&Hostile::arbitrary(u)?.0.to_string()),
        3 => out.push_str(&format!("'{}'", one(u, &TEXTS)?)),
        4 => out
            .push_str(one(u, &["none", "true", "false", "-1", "1.5", "1e308", "[]", "{}", "''"])?),
        5 | 6 => {
            out.push('(');
            expression(u, depth, out)?;
            out.push_str(&format!(" {} ", word(u, OPERATORS)?));
            expression(u, depth, out)?;
            out.push(')');
        }
        7 => {
            out.push('[');
            list(u, depth, ", ", out)?;
            out.push(']');
        }
        8 => {
            out.push_str("{'a': ");
            expression(u, depth, out)?;
            out.push_str(", ");
            expression(u, depth, out)?;
            out.push_str(": 1}");
        }
        9 => {
            expression(u, depth, out)?;
            out.push_str(&format!(" | {}", word(u, FILTERS)?));
            if bool::arbitrary(u)? {
                out.push('(');
                list(u, depth, ", ", out)?;
                out.push(')');
            }
        }
        10 => {
            expression(u, depth, out)?;
            out.push_str(&format!(".{}(", word(u, METHODS)?));
            list(u, depth, ", ", out)?;
            out.push(')');
        }
        11 => {
            expression(u, depth, out)?;
            out.push('[');
            list(u, depth, ":", out)?;
            out.push(']');
        }
        12 => {
            expression(u, depth, out)?;
            out.push_str(&format!(".{}", word(u, FIELDS)?));
        }
        13 => {
            expression(u, depth, out)?;
            out.push_str(&format!(" is {}", word(u, TESTS)?));
        }
        14 => {
            out.push_str(one(u, &["not ", "-", ""])?);
            expression(u, depth, out)?;
            out.push_str(" if ");
            expression(u, depth, out)?;
            out.push_str(" else ");
            expression(u, depth, out)?;
        }
        15 => {
            out.push_str(word(u, FUNCTIONS)?);
            out.push('(');
            list(u, depth, ", ", out)?;
            out.push(')');
        }
        _ => {
            out.push_str(one(u, &["f", "g", "dict", "namespace"])?);
            out.push_str("(x=");
            expression(u, depth, out)?;
            out.push(')');
        }
    }
    Ok(())
}

const SNIPPETS: [&str; 8] = [
    r#"{"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": {}}}]}"#,
    r#"{"role": "tool", "content": [{"type": "text", "text": "ab"}]}"#,
    r#""user""#,
    "[]",
    "{}",
    "18446744073709551615",
    "1e308",
    "null",
];

fuzz_target!(|input: Input| {
    let source = match &input.source {
        Source::Raw(text) | Source::Built(Template(text)) => text,
    };
    let template = ChatTemplate::parse("fuzz", source);
    tally("parsed", template.is_ok());
    let template = match template {
        Ok(template) => template,
        Err(error) => return assert!(!error.to_string().contains("panic"), "{error}"),
    };
    let mut given = json!({
        "messages": [
            {"role": "system", "content": "be brief"},
            {"role": "user", "content": "ab é\n {{ x }} <|im_end|>"},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
        "extra": {"x": "ab", "y": 2, "z": [1, [2, "a"], {"k": 1.5}]},
    });
    edit(&mut given, &input.edits, &SNIPPETS);
    let rendered = template.render(&ChatInput {
        messages: given["messages"].as_array().map_or(&[], Vec::as_slice),
        add_generation_prompt: input.add_generation_prompt,
        bos_token: Some("<s>"),
        eos_token: None,
        tools: given["tools"].as_array().map(Vec::as_slice),
        extra: given["extra"].as_object(),
        now: Some(UNIX_EPOCH),
    });
    tally("rendered", rendered.is_ok());
    match rendered {
        Ok(text) => assert!(text.len() <= MAX_OUTPUT),
        Err(error) => assert!(!error.to_string().contains("panic"), "{error}"),
    }
});
