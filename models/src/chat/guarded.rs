// SPDX-License-Identifier: AGPL-3.0-or-later
//! The environment of a template: what it may call, with every growing value counted.
//!
//! minijinja's fuel bounds the number of steps, but one step may double a string, and forty of
//! them fill any memory. So the instructions that make or compare values of any size are exchanged
//! for calls of functions that charge a [`Budget`] first; filters and methods do the same. The
//! functions' names are no identifiers, so no template can put its own in their place.

use std::sync::{Arc, LazyLock};
use std::time::SystemTime;

use minijinja::machinery::Instruction;
use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Kwargs, Rest, ValueKind};
use minijinja::{Environment, Error, Expression, State, Value, filters, functions, tests};
use serde_json::Value as Json;

use super::json::to_json;
use super::slice::slice;
use super::strftime::strftime;
use super::values::{Budget, invalid, text, width};

/// Steps of one rendering.
const FUEL: u64 = 400_000;

/// Bytes that literal text may take if every step wrote the longest.
const LITERALS: u64 = 128 << 20;

/// Bytes copied or looked at, items visited.
const WORK: u64 = 256 << 20;

/// Nested calls of macros and recursive loops.
const RECURSION: usize = 64;

/// minijinja as it comes: the guarded operations end here.
static PLAIN: LazyLock<Environment<'static>> = LazyLock::new(Environment::new);

/// The operators that are counted: name, instruction it stands for, its expression.
const OPERATORS: [(&str, &str); 11] = [
    ("+", "a + b"),
    ("*", "a * b"),
    ("==", "a == b"),
    ("!=", "a != b"),
    ("<", "a < b"),
    ("<=", "a <= b"),
    (">", "a > b"),
    (">=", "a >= b"),
    ("in", "a in b"),
    ("[]", "a[b]"),
    ("[:]", "a[b:c:d]"),
];

static EXPRESSIONS: LazyLock<Vec<Option<Expression<'static, 'static>>>> =
    LazyLock::new(|| OPERATORS.iter().map(|(_, e)| PLAIN.compile_expression(e).ok()).collect());

/// Puts a counted call in the place of an instruction that makes or compares values.
pub(super) fn exchange(instruction: &mut Instruction<'_>) -> Result<(), String> {
    let (name, arguments) = match instruction {
        Instruction::Add => ("+", 2),
        Instruction::Mul => ("*", 2),
        Instruction::StringConcat => ("~", 2),
        Instruction::Eq => ("==", 2),
        Instruction::Ne => ("!=", 2),
        Instruction::Lt => ("<", 2),
        Instruction::Lte => ("<=", 2),
        Instruction::Gt => (">", 2),
        Instruction::Gte => (">=", 2),
        Instruction::In => ("in", 2),
        Instruction::GetItem => ("[]", 2),
        Instruction::Slice => ("[:]", 4),
        Instruction::CompareAndPreserve(_) => {
            return Err("chained comparisons such as a < b < c are not accepted".into());
        }
        _ => return Ok(()),
    };
    *instruction = Instruction::CallFunction(name, Some(arguments));
    Ok(())
}

/// Refuses constants that the compiler would repeat: `'a' * 99999999` costs memory before any
/// instruction runs.
pub(super) fn check_constants(
    name: &str,
    source: &str,
    syntax: &SyntaxConfig,
) -> Result<(), String> {
    let ast = minijinja::machinery::parse(source, name, syntax.clone())
        .map_err(|e| super::describe(&e))?;
    let ast = serde_json::to_value(&ast).map_err(|e| e.to_string())?;
    let mut rest = vec![&ast];
    while let Some(node) = rest.pop() {
        match node {
            Json::Object(map) => {
                let factors = [&node["left"], &node["right"]].map(constant);
                if node["op"] == "Mul"
                    && matches!(factors, [Some(a), Some(b)] if a == Kind::Long || b == Kind::Long)
                {
                    return Err("a constant string or list is repeated with *".into());
                }
                rest.extend(map.values());
            }
            Json::Array(items) => rest.extend(items),
            _ => {}
        }
    }
    Ok(())
}

/// What a constant may be.
#[derive(PartialEq, Eq, Clone, Copy)]
enum Kind {
    Number,
    /// A string or container.
    Long,
}

/// The kind of an expression that the compiler computes; `None` for one that it leaves.
fn constant(expression: &Json) -> Option<Kind> {
    let node = &expression["inner"][0];
    match expression["expr"].as_str()? {
        "Const" if node["value"].is_string() => Some(Kind::Long),
        "Const" | "UnaryOp" | "Compare" => Some(Kind::Number),
        "List" | "Tuple" | "Map" => Some(Kind::Long),
        "BinOp" => match (constant(&node["left"])?, constant(&node["right"])?) {
            (Kind::Number, Kind::Number) => Some(Kind::Number),
            _ => Some(Kind::Long),
        },
        _ => None,
    }
}

/// The environment of one rendering of a template whose longest literal has so many bytes.
pub(super) fn environment(longest_literal: usize, now: SystemTime) -> Environment<'static> {
    let budget = Arc::new(Budget::new(WORK));
    let mut env = Environment::empty();
    env.set_fuel(Some(FUEL.min(LITERALS / (longest_literal as u64).max(1)).max(1)));
    env.set_recursion_limit(RECURSION);

    let shared = budget.clone();
    env.set_formatter(move |out, _, value| {
        out.write_str(&text(value, &shared)?).map_err(Error::from)
    });
    let shared = budget.clone();
    env.set_unknown_method_callback(move |state, value, method, args| {
        charge_call(&shared, method, value, args)?;
        minijinja_contrib::pycompat::unknown_method_callback(state, value, method, args)
    });

    for (i, (name, _)) in OPERATORS.iter().enumerate() {
        let shared = budget.clone();
        env.add_function(*name, move |args: Rest<Value>| operate(i, &args, &shared));
    }
    let shared = budget.clone();
    env.add_function("~", move |a: Value, b: Value| {
        Ok::<_, Error>(text(&a, &shared)? + &text(&b, &shared)?)
    });
    env.add_function("range", range);
    env.add_function("dict", functions::dict);
    env.add_function("namespace", functions::namespace);
    env.add_function("raise_exception", |message: String| Err::<Value, _>(invalid(message)));
    env.add_function("strftime_now", move |format: String| strftime(&format, now).map_err(invalid));
    add_filters(&mut env, &budget);
    add_tests(&mut env, &budget);
    env
}

/// minijinja's own, which overflows far out.
fn range(lower: isize, upper: Option<isize>, step: Option<isize>) -> Result<Value, Error> {
    let far = |n: &isize| n.unsigned_abs() > 1 << 40;
    if far(&lower) || upper.as_ref().is_some_and(far) || step.as_ref().is_some_and(far) {
        return Err(invalid("range: a bound or step is beyond 2^40"));
    }
    functions::range(lower, upper, step)
}

/// minijinja's own, which panics on 0 and may on -1.
fn is_divisibleby(value: &Value, by: &Value) -> Result<bool, Error> {
    match i128::try_from(by.clone()) {
        Ok(0) => Err(invalid("divisibleby: division by 0")),
        Ok(-1) => Ok(tests::is_divisibleby(value, &Value::from(1))),
        _ => Ok(tests::is_divisibleby(value, by)),
    }
}

/// One of [`OPERATORS`], paid for.
fn operate(operator: usize, args: &[Value], budget: &Budget) -> Result<Value, Error> {
    let [a, b, ..] = args else { return Err(invalid("an operator without operands")) };
    match OPERATORS[operator].0 {
        "+" => budget.charge(width(a).saturating_add(width(b)))?,
        "*" => {
            let times = |n: &Value, v: &Value| match v.kind() {
                ValueKind::Number => 1,
                _ => width(v).saturating_mul(n.as_usize().unwrap_or(0)),
            };
            budget.charge(times(a, b).max(times(b, a)))?;
        }
        "[:]" => return slice(a, &args[1..], budget),
        "[]" => budget.charge(a.as_str().map_or(0, str::len))?,
        _ => match (a.as_str(), b.as_str()) {
            (Some(a), Some(b)) if OPERATORS[operator].0 != "in" => {
                budget.charge(a.len().min(b.len()))?;
            }
            _ => {
                budget.charge_all(a)?;
                budget.charge_all(b)?;
            }
        },
    }
    let none = Value::from(());
    let argument = |i: usize| args.get(i).unwrap_or(&none).clone();
    let context = minijinja::context! {
        a => argument(0), b => argument(1), c => argument(2), d => argument(3),
    };
    match &EXPRESSIONS[operator] {
        Some(expression) => expression.eval(context).map_err(|e| match e.detail() {
            Some(detail) => Error::new(e.kind(), detail.to_owned()),
            None => Error::from(e.kind()),
        }),
        None => Err(invalid("an operator is missing")),
    }
}

/// Pays for a filter or method: what it looks at, and what it may make of that.
fn charge_call(budget: &Budget, name: &str, value: &Value, args: &[Value]) -> Result<(), Error> {
    let strings = |n: usize| args.get(n).and_then(Value::as_str).map_or(0, str::len);
    let size = width(value);
    let units = match name {
        // Text is put at most before every byte.
        "replace" => size.saturating_add(1).saturating_mul(strings(1).max(1)),
        "indent" => {
            let lines = value.as_str().map_or(0, |s| s.lines().count());
            let columns = args.iter().filter_map(Value::as_usize).max().unwrap_or(4);
            size.saturating_add(lines.saturating_mul(columns)).saturating_add(args.len())
        }
        // As a filter the separator comes second, as a method it is the receiver.
        "join" => {
            let (list, separator) = match value.as_str() {
                Some(separator) => (args.first(), separator.len()),
                None => (Some(value), strings(0)),
            };
            if let Some(list) = list {
                budget.charge_all(list)?;
            }
            list.map_or(0, width).saturating_mul(separator)
        }
        "format" | "zip" => return Err(invalid(format!("{name} is not accepted"))),
        "split" | "splitlines" | "lines" => size.saturating_mul(16),
        "sort" | "unique" | "string" | "dictsort" | "min" | "max" | "sum" | "count" => {
            budget.charge_all(value)?;
            size
        }
        _ => size.saturating_mul(3),
    };
    budget.charge(units)
}

fn add_filters(env: &mut Environment<'_>, budget: &Arc<Budget>) {
    // Only what is linear in its input, or counted by `charge_call`.
    for name in [
        "upper",
        "lower",
        "title",
        "capitalize",
        "replace",
        "length",
        "count",
        "dictsort",
        "items",
        "reverse",
        "trim",
        "join",
        "split",
        "lines",
        "default",
        "d",
        "abs",
        "int",
        "float",
        "sum",
        "attr",
        "round",
        "first",
        "last",
        "min",
        "max",
        "sort",
        "list",
        "string",
        "bool",
        "unique",
        "indent",
        "safe",
    ] {
        let shared = budget.clone();
        env.add_filter(name, move |state: &mut State<'_, '_>, args: Rest<Value>| {
            let _ = state;
            let [value, rest @ ..] = &args[..] else { return Err(invalid("no value")) };
            // `length` of a container is known; Python's method `count` of a list compares.
            let counted = if name == "count" { "length" } else { name };
            charge_call(&shared, counted, value, rest)?;
            if name == "string" {
                return text(value, &shared).map(Value::from);
            }
            PLAIN.empty_state().apply_filter(name, &args)
        });
    }
    // These call other filters and tests, by name, of this environment.
    env.add_filter("map", filters::map);
    env.add_filter("select", filters::select);
    env.add_filter("reject", filters::reject);
    env.add_filter("selectattr", filters::selectattr);
    env.add_filter("rejectattr", filters::rejectattr);
    let shared = budget.clone();
    env.add_filter("tojson", move |value: Value, indent: Option<Value>, options: Kwargs| {
        to_json(&value, indent, &options, &shared)
    });
}

fn add_tests(env: &mut Environment<'_>, budget: &Arc<Budget>) {
    env.add_test("defined", |v: &Value| !v.is_undefined());
    env.add_test("undefined", Value::is_undefined);
    env.add_test("none", Value::is_none);
    env.add_test("boolean", tests::is_boolean);
    env.add_test("number", tests::is_number);
    env.add_test("integer", tests::is_integer);
    env.add_test("float", tests::is_float);
    env.add_test("string", tests::is_string);
    env.add_test("iterable", |v: &Value| v.as_str().is_some() || tests::is_iterable(v));
    env.add_test("mapping", tests::is_mapping);
    // A string is a sequence in Python, and so is a mapping to Jinja.
    env.add_test("sequence", |v: &Value| {
        v.as_str().is_some() || tests::is_sequence(v) || tests::is_mapping(v)
    });
    env.add_test("odd", tests::is_odd);
    env.add_test("even", tests::is_even);
    env.add_test("divisibleby", is_divisibleby);
    env.add_test("true", tests::is_true);
    env.add_test("false", tests::is_false);
    env.add_test("lower", tests::is_lower);
    env.add_test("upper", tests::is_upper);
    for (names, operator) in [
        (&["eq", "equalto", "=="][..], 2),
        (&["ne", "!="], 3),
        (&["lt", "lessthan", "<"], 4),
        (&["le", "<="], 5),
        (&["gt", "greaterthan", ">"], 6),
        (&["ge", ">="], 7),
        (&["in"], 8),
    ] {
        for &name in names {
            let shared = budget.clone();
            env.add_test(name, move |a: Value, b: Value| {
                operate(operator, &[a, b], &shared).map(|v| v.is_true())
            });
        }
    }
}
