//! `aiospy mcp`: what this program can do, for agents that speak the Model Context Protocol, on
//! standard input and output.
//!
//! Each call of a tool is one run of this program with the options that a person would give it, so
//! both see the same. Nothing that changes a process can be called.

use std::process::Stdio;

use anyhow::Context as _;
use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ContentBlock, Implementation,
    JsonObject, ListToolsResult, PaginatedRequestParams, ServerCapabilities, ServerConfig, Tool,
    ToolAnnotations,
};
use rmcp::service::RequestContext;
use rmcp::{ErrorData, RoleServer, ServerHandler, ServiceExt as _};
use serde_json::{Value, json};

use crate::commands::outcome::Outcome;

/// What an agent reads first.
const INSTRUCTIONS: &str = "Diagnoses running CPython asyncio programs from outside; targets are \
    only read, never stopped. Begin with list_processes, then diagnose: its `verdict.text` is the \
    answer, `findings` without `because_of` are the causes, `groups` says what all tasks do. A \
    verdict `undecided` is settled by diagnose with wait_seconds 5. explain says what a finding's \
    code means and what else could look like it.";
/// Letters of an answer that are passed on: far more than any document but one has.
const MAX_ANSWER: usize = 200_000;
/// Tasks that one call may ask for.
const MAX_TASKS: usize = 5;
/// Longest time to watch or to wait, in seconds.
const MAX_SECONDS: u64 = 60;

type Choose = fn(&Arguments<'_>, String) -> Result<String, String>;

/// A tool: how it is called, and which run of this program it is.
struct Row {
    name: &'static str,
    about: &'static str,
    parameters: &'static [Parameter],
    /// What it runs.
    run: fn(&Arguments<'_>) -> Result<Vec<String>, String>,
    /// What is made of its output.
    choose: Choose,
}

/// A parameter of a tool.
struct Parameter {
    name: &'static str,
    /// Its type in JSON Schema.
    kind: &'static str,
    about: &'static str,
    is_required: bool,
}

const PID: Parameter = Parameter {
    name: "pid",
    kind: "integer",
    about: "Process id, as list_processes gives it",
    is_required: true,
};

const TOOLS: &[Row] = &[
    Row {
        name: "list_processes",
        about: "List the Python processes here: command, container, what their event loops do, \
            and the worst finding in each",
        parameters: &[],
        run: |_| Ok(words(&["ps", "--json"])),
        choose: |_, output| Ok(output),
    },
    Row {
        name: "diagnose",
        about: "Say what is wrong with a process: verdict, findings with their causes, and what \
            its tasks do, in groups",
        parameters: &[
            PID,
            Parameter {
                name: "wait_seconds",
                kind: "integer",
                about: "Keep sampling for so long at most while it is undecided whether \
                    something hangs",
                is_required: false,
            },
            Parameter {
                name: "subprocesses",
                kind: "boolean",
                about: "Its Python child processes too, such as a server's workers",
                is_required: false,
            },
        ],
        run: |arguments| {
            let mut run = words(&["check", "--json", "--fail-on", "never"]);
            run.extend(["--wait".into(), format!("{}s", arguments.seconds("wait_seconds")?)]);
            run.extend(arguments.flag("subprocesses")?.then(|| "-s".into()));
            run.push(arguments.pid()?);
            Ok(run)
        },
        choose: |_, output| Ok(output),
    },
    Row {
        name: "requests",
        about: "Give the requests in flight, in groups: route, where they are, what they wait for, \
            for how long",
        parameters: &[
            PID,
            Parameter {
                name: "slower_seconds",
                kind: "integer",
                about: "Only those that have gone on for longer",
                is_required: false,
            },
        ],
        run: |arguments| {
            let mut run = words(&["requests", "--json"]);
            let slower = Some(arguments.seconds("slower_seconds")?).filter(|least| *least > 0);
            run.extend(slower.map(|least| format!("--slower={least}s")));
            run.push(arguments.pid()?);
            Ok(run)
        },
        choose: |_, output| Ok(output),
    },
    Row {
        name: "task",
        about: "Give all that is known of one task, by its name or id: frames, wait, cancellation",
        parameters: &[
            PID,
            Parameter {
                name: "task",
                kind: "string",
                about: "Its name, such as Task-7, or its id, such as 0x7f5ed8f1c2d0",
                is_required: true,
            },
        ],
        run: |arguments| Ok([words(&["dump", "--json"]), vec![arguments.pid()?]].concat()),
        choose: |arguments, document| task(&document, arguments.text("task")?),
    },
    Row {
        name: "explain",
        about: "Explain what a finding means, how it is detected, when it is not raised, and \
            what to do about it",
        parameters: &[Parameter {
            name: "code",
            kind: "string",
            about: "The finding's code, such as lock-convoy",
            is_required: true,
        }],
        run: |arguments| Ok(vec!["explain".into(), arguments.text("code")?.to_owned()]),
        choose: |_, output| Ok(output),
    },
    Row {
        name: "watch_for",
        about: "Watch a process for some seconds: blocked loops, findings that open and close, \
            loop statistics; one JSON object per line",
        parameters: &[
            PID,
            Parameter {
                name: "seconds",
                kind: "integer",
                about: "How long, 1 to 60",
                is_required: true,
            },
        ],
        run: |arguments| {
            let seconds = format!("{}s", arguments.seconds("seconds")?.max(1));
            Ok([words(&["watch", "--json", "-d", &seconds]), vec![arguments.pid()?]].concat())
        },
        choose: |_, output| Ok(output),
    },
];

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// The arguments of a call.
struct Arguments<'a>(&'a JsonObject);

impl Arguments<'_> {
    fn pid(&self) -> Result<String, String> {
        let pid = self.0.get("pid").and_then(Value::as_u64).filter(|pid| *pid > 0);
        pid.map(|pid| pid.to_string()).ok_or_else(|| "pid: expected a process id".to_owned())
    }

    /// A text that can't be taken for an option.
    fn text(&self, name: &str) -> Result<&str, String> {
        let text = self.0.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.filter(|text| !text.starts_with('-')).ok_or_else(|| format!("{name}: expected a text"))
    }

    fn seconds(&self, name: &str) -> Result<u64, String> {
        match self.0.get(name) {
            None => Ok(0),
            Some(value) => value
                .as_u64()
                .filter(|seconds| *seconds <= MAX_SECONDS)
                .ok_or_else(|| format!("{name}: expected a number from 0 to {MAX_SECONDS}")),
        }
    }

    fn flag(&self, name: &str) -> Result<bool, String> {
        match self.0.get(name) {
            None => Ok(false),
            Some(value) => value.as_bool().ok_or_else(|| format!("{name}: expected true or false")),
        }
    }
}

impl Row {
    fn tool(&self) -> Tool {
        let properties: JsonObject = self
            .parameters
            .iter()
            .map(|it| (it.name.to_owned(), json!({"type": it.kind, "description": it.about})))
            .collect();
        let required = self.parameters.iter().filter(|it| it.is_required).map(|it| it.name);
        let required: Vec<&str> = required.collect();
        let mut schema = JsonObject::new();
        schema.insert("type".into(), "object".into());
        schema.insert("properties".into(), properties.into());
        schema.insert("required".into(), required.into());
        let mut tool = Tool::new(self.name, self.about, schema);
        tool.annotations = Some(ToolAnnotations::new().read_only(true).open_world(false));
        tool
    }

    async fn call(&self, arguments: &Arguments<'_>) -> Result<String, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = tokio::process::Command::new(program);
        command.args((self.run)(arguments)?).stdin(Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(|error| error.to_string())?;
        // 3: there are findings.
        if !matches!(output.status.code(), Some(0 | 3)) {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let mut text = (self.choose)(arguments, text)?;
        if let Some((end, _)) = text.char_indices().nth(MAX_ANSWER) {
            text.truncate(end);
            text.push_str("\n… cut");
        }
        Ok(text)
    }
}

/// The tasks of a dump with this name or id.
fn task(document: &str, wanted: &str) -> Result<String, String> {
    let document: Value = serde_json::from_str(document).map_err(|error| error.to_string())?;
    let tasks = document.get("tasks").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_it = |task: &&Value| task.get("name") == Some(&wanted.into()) || task["id"] == wanted;
    let found: Vec<&Value> = tasks.iter().filter(is_it).take(MAX_TASKS).collect();
    match found.as_slice() {
        [] => Err(format!("no task {wanted} among {}", tasks.len())),
        found => serde_json::to_string(found).map_err(|error| error.to_string()),
    }
}

/// The server.
struct Server;

impl ServerHandler for Server {
    fn get_info(&self) -> ServerConfig {
        let mut info = ServerConfig::new(ServerCapabilities::builder().enable_tools().build());
        info.server_info = Implementation::new("aiospy", env!("CARGO_PKG_VERSION"));
        info.instructions = Some(INSTRUCTIONS.to_owned());
        info
    }

    async fn list_tools(
        &self,
        _page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        Ok(ListToolsResult::with_all_items(TOOLS.iter().map(Row::tool).collect()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        _context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let row = TOOLS.iter().find(|row| row.name == request.name);
        let row = row.ok_or_else(|| ErrorData::invalid_params("no such tool", None))?;
        let arguments = request.arguments.unwrap_or_default();
        let result = match row.call(&Arguments(&arguments)).await {
            Ok(text) => CallToolResult::success(vec![ContentBlock::text(text)]),
            Err(why) => CallToolResult::error(vec![ContentBlock::text(why)]),
        };
        Ok(result.into())
    }
}

/// Serves until the other end closes.
///
/// # Errors
/// When there is no thread to be had, or the other end speaks something else.
pub fn run() -> anyhow::Result<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("can't start a runtime")?;
    runtime.block_on(async {
        let server = Server.serve(rmcp::transport::stdio()).await;
        server.context("could not begin to serve")?.waiting().await.context("the server failed")?;
        Ok(Outcome::Done)
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn run_of(name: &str, arguments: Value) -> Result<String, String> {
        let row = TOOLS.iter().find(|row| row.name == name).unwrap();
        let Value::Object(arguments) = arguments else { panic!() };
        (row.run)(&Arguments(&arguments)).map(|run| run.join(" "))
    }

    #[test]
    fn calls_are_runs_of_commands_that_exist() {
        let every = json!({"pid": 7, "wait_seconds": 5, "subprocesses": true, "seconds": 2,
            "slower_seconds": 3,
            "task": "Task-1", "code": "deadlock"});
        for row in TOOLS {
            let run = run_of(row.name, every.clone()).unwrap();
            let line = format!("aiospy {run}");
            let parsed = crate::args::command().try_get_matches_from(line.split(' '));
            assert!(parsed.is_ok(), "{run}: {parsed:?}");
            assert_eq!(Value::Object((*row.tool().input_schema).clone())["type"], "object");
        }
        let checked = "check --json --fail-on never --wait 5s -s 7";
        assert_eq!(run_of("diagnose", every).as_deref(), Ok(checked));
        crate::args::Options::command().debug_assert();
    }

    #[test]
    fn arguments_are_no_options() {
        for (name, arguments) in [
            ("diagnose", json!({})),
            ("diagnose", json!({"pid": "7; rm"})),
            ("diagnose", json!({"pid": -1})),
            ("diagnose", json!({"pid": 7, "wait_seconds": 3600})),
            ("diagnose", json!({"pid": 7, "subprocesses": "yes"})),
            ("explain", json!({"code": "--output=/etc/passwd"})),
            ("explain", json!({"code": ""})),
        ] {
            assert!(run_of(name, arguments.clone()).is_err(), "{name} {arguments}");
        }
    }

    #[test]
    fn a_task_is_found_by_name_or_id() {
        let dump = r#"{"tasks": [{"id": "0x1", "name": "a"}, {"id": "0x2", "name": "b"}]}"#;
        assert_eq!(task(dump, "b").unwrap(), r#"[{"id":"0x2","name":"b"}]"#);
        assert_eq!(task(dump, "0x1").unwrap(), r#"[{"id":"0x1","name":"a"}]"#);
        assert_eq!(task(dump, "c"), Err("no task c among 2".to_owned()));
    }
}
