//! `--rules FILE`: which functions of a program work for its requests and jobs, or ask others, in TOML.
//!
//! ```toml
//! [[work]]
//! at = "shop/worker.py:Worker.run"
//! kind = "job"
//! of = "job"
//! name = "job.function"
//! began = "job.started"
//! clock = "epoch"
//! ```

use std::path::PathBuf;

use aiospy::known::WorkKind;
use aiospy::known::work::{Clock, Fact, Paths, Rule, Rules};
use serde::Deserialize;
use toml::{Spanned, Value};

use super::given;

/// A file of rules.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    #[serde(default)]
    work: Vec<Spanned<Value>>,
}

/// One rule; all but the first three are paths to facts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    at: OneOrMore,
    kind: WorkKind,
    of: String,
    needs: Option<String>,
    verb: Option<String>,
    route: Option<String>,
    name: Option<String>,
    statement: Option<String>,
    path: Option<String>,
    peer: Option<String>,
    port: Option<String>,
    id: Option<String>,
    began: Option<String>,
    clock: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`at` is a text, or a list of some")]
enum OneOrMore {
    One(String),
    More(Vec<String>),
}

/// The rules in a file.
///
/// # Errors
/// With what is wrong in each rule that is none, and where.
pub fn read(file: &str) -> Result<Rules, String> {
    parse(&given::rules(file)?)
}

/// The rules that the user keeps, `~/.config/aiospy/rules.toml`: the file, and what is in it.
pub fn kept() -> Option<(PathBuf, Result<Rules, String>)> {
    let of_home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".config"));
    let given = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from);
    let folder = given.filter(|it| it.is_absolute()).or_else(of_home)?;
    let file = folder.join("aiospy/rules.toml");
    let rules = file.exists().then(|| read(&file.to_string_lossy()))?;
    Some((file, rules))
}

fn parse(text: &str) -> Result<Rules, String> {
    let line = |at: usize| text.as_bytes().iter().take(at).filter(|it| **it == b'\n').count() + 1;
    let said = |error: &toml::de::Error| match error.span() {
        Some(span) => format!("line {}: {}", line(span.start), error.message()),
        None => error.message().to_owned(),
    };
    let text: Text = toml::from_str(text).map_err(|error| said(&error))?;
    let (mut rules, mut mistakes) = (Vec::new(), Vec::new());
    for row in text.work {
        let at = line(row.span().start);
        match rule(row.into_inner()) {
            Ok(rule) => rules.push(rule),
            Err(mistake) => mistakes.push(format!("line {at}: {mistake}")),
        }
    }
    if mistakes.is_empty() { Ok(Rules::new(rules)) } else { Err(mistakes.join("; ")) }
}

fn rule(row: Value) -> Result<Rule, String> {
    let row: Row = row.try_into().map_err(|error: toml::de::Error| error.message().to_owned())?;
    let at = match row.at {
        OneOrMore::One(at) => vec![at],
        OneOrMore::More(all) => all,
    };
    let place = |at: &String| match at.rsplit_once(':') {
        Some((file, name)) if !file.is_empty() && !name.is_empty() => {
            Ok((file.to_owned(), name.to_owned()))
        }
        _ => Err(format!("`{at}` is no function: write it as `worker.py:Worker.run`")),
    };
    let at = at.iter().map(place).collect::<Result<Vec<_>, _>>()?;
    if at.is_empty() {
        return Err("`at` names no function".to_owned());
    }
    let paths = |text: &str| Paths::parse(text).map_err(|error| error.to_string());
    let of = paths(&row.of)?;
    if of.iter().any(|path| path.local.is_none()) {
        return Err(format!("`of` is to begin with a variable, and `{}` does not", row.of));
    }
    let clock = match row.clock.as_deref() {
        None | Some("monotonic") => Clock::Monotonic,
        Some("epoch") => Clock::Epoch,
        Some("epoch-ms") => Clock::EpochMillis,
        Some(other) => {
            return Err(format!("no clock is called `{other}`: monotonic, epoch or epoch-ms"));
        }
    };
    let facts = [
        (Fact::Needs, row.needs),
        (Fact::Verb, row.verb),
        (Fact::Route, row.route),
        (Fact::Name, row.name),
        (Fact::Statement, row.statement),
        (Fact::Path, row.path),
        (Fact::Peer, row.peer),
        (Fact::Port, row.port),
        (Fact::Id, row.id),
        (Fact::Began(clock), row.began),
    ];
    let given = facts.into_iter().filter_map(|(fact, text)| Some((fact, text?)));
    let facts = given.map(|(fact, text)| Ok::<_, String>((fact, paths(&text)?)));
    Ok(Rule::new(at, row.kind, of, facts.collect::<Result<_, _>>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_names_functions_and_where_facts_are() {
        let rules = parse(
            "[[work]]\n\
             at = [\"shop/worker.py:Worker.run\", \"shop/retry.py:again\"]\n\
             kind = \"job\"\n\
             of = \"job\"\n\
             name = \"job.function | .name\"\n\
             began = \"job.started\"\n\
             clock = \"epoch-ms\"\n",
        )
        .unwrap();
        let rule = rules.find("/srv/shop/retry.py", "again").unwrap();
        assert_eq!(
            (rule.kind, rule.to_string()),
            (WorkKind::Job, "shop/worker.py:Worker.run".into())
        );
        assert!(rule.has(Fact::Name) && rule.has(Fact::Began(Clock::EpochMillis)));
        assert_eq!(parse("").unwrap(), Rules::default());
    }

    #[test]
    fn each_rule_that_is_none_is_named_with_its_line() {
        let good = "at = \"a.py:f\"\nkind = \"job\"\nof = \"job\"\n";
        let mistakes = parse(&format!(
            "[[work]]\n{good}\n\
             [[work]]\n{good}nmae = \"job.name\"\n\
             [[work]]\n{good}name = \"job.name()\"\n\
             [[work]]\nat = \"f\"\nkind = \"job\"\nof = \"job\"\n\
             [[work]]\nat = \"a.py:f\"\nkind = \"job\"\nof = \".job\"\n\
             [[work]]\nat = \"a.py:f\"\nkind = \"task\"\nof = \"job\"\n\
             [[work]]\nkind = \"job\"\nof = \"job\"\n\
             [[work]]\n{good}clock = \"wall\"\n"
        ))
        .unwrap_err();
        let expected = "line 6: unknown field `nmae`, expected one of `at`, `kind`, `of`, `needs`, \
             `verb`, `route`, `name`, `statement`, `path`, `peer`, `port`, `id`, `began`, `clock`; \
             line 11: `job.name()` is no path: write it as `self.request.args['id'][0] | request`; \
             line 16: `f` is no function: write it as `worker.py:Worker.run`; \
             line 20: `of` is to begin with a variable, and `.job` does not; \
             line 24: unknown variant `task`, expected one of `request`, `websocket`, `job`, \
             `call`, `query`; \
             line 28: missing field `at`; \
             line 31: no clock is called `wall`: monotonic, epoch or epoch-ms";
        assert_eq!(mistakes, expected);
        let error = parse("[[work]]\nat = \"a.py:f\nkind = 1\n").unwrap_err();
        assert!(error.starts_with("line 2: "), "{error}");
        assert!(parse("works = 1").unwrap_err().starts_with("line 1: unknown field `works`"));
        assert!(read("/nowhere.toml").unwrap_err().starts_with("can't read it: "));
    }
}
