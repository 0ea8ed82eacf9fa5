//! The code blocks of a Markdown page, and what is done with each.

use std::fs;
use std::path::Path;

/// The reasons why a block of commands isn't run here.
const ELSEWHERE: [&str; 4] = ["aws", "build", "codespace", "localstack"];

/// Programs that commands may use and that a machine may lack.
const TOOLS: [&str; 3] = ["aws", "curl", "jq"];

/// What a page needs when it is run.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Needs {
    /// No cloud: every endpoint is unreachable.
    Nothing,
    /// The stack and the instances of `curfew up`.
    Demo,
    /// An emulator without instances.
    Emulator,
}

/// A block, with the line on which its text begins.
#[derive(Debug, Eq, PartialEq)]
pub(super) enum Block {
    /// A file that the page shows: its name and content.
    File { name: String, text: String },
    /// Commands that are run one after the other, and a sample of their output.
    Commands {
        line: usize,
        text: String,
        sample: Option<String>,
    },
    /// A command that is left running in another terminal.
    Background { line: usize, text: String },
}

/// A page with the blocks that are run.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) name: String,
    pub(super) needs: Needs,
    pub(super) blocks: Vec<Block>,
}

impl Page {
    pub(super) fn read(file: &Path, name: &str) -> Self {
        Self::parse(&fs::read_to_string(file).unwrap(), name)
    }

    /// Panics if a block doesn't say what it is.
    pub(super) fn parse(text: &str, name: &str) -> Self {
        let mut page = Self {
            name: name.to_owned(),
            needs: needs(text),
            blocks: Vec::new(),
        };
        let mut lines = text.lines().enumerate();
        // Whether nothing stands between a block and the one before.
        let mut follows = false;
        while let Some((number, line)) = lines.next() {
            let Some(info) = line.trim_start().strip_prefix("```") else {
                follows &= line.trim().is_empty();
                continue;
            };
            let indentation = line.len() - line.trim_start().len();
            let mut content = String::new();
            for (_, line) in lines.by_ref() {
                if line.trim_start().starts_with("```") {
                    break;
                }
                content += line.get(indentation..).unwrap_or_default();
                content += "\n";
            }
            // Lines are counted from 1, and the text begins after the fence.
            if info != "text" {
                page.add(info, content, number + 2);
            } else if follows && let Some(Block::Commands { sample, .. }) = page.blocks.last_mut() {
                *sample = Some(content);
            }
            follows = info == "sh";
        }
        page
    }

    fn add(&mut self, info: &str, text: String, line: usize) {
        let name = &self.name;
        let block = match info.split_once(',').unwrap_or((info, "")) {
            ("sh", "") => Block::Commands {
                line,
                text,
                sample: None,
            },
            ("sh", "background") => Block::Background { line, text },
            ("sh", reason) => {
                let known = ELSEWHERE.contains(&reason);
                assert!(known, "{name}:{line}: `{info}`: use one of {ELSEWHERE:?}");
                return;
            }
            ("toml", "") => match file_name(&text) {
                Some(file) => Block::File {
                    name: file.to_owned(),
                    text,
                },
                None => return,
            },
            ("" | "bash" | "shell" | "console", _) => {
                panic!(
                    "{name}:{line}: a block needs a language: `sh` for commands, `text` for output"
                )
            }
            _ => return,
        };
        self.blocks.push(block);
    }

    pub(super) fn has_commands(&self) -> bool {
        let is_file = |block: &Block| matches!(block, Block::File { .. });
        !self.blocks.iter().all(is_file)
    }

    /// The tools that the commands use and this machine lacks.
    pub(super) fn missing_tools(&self) -> Vec<&'static str> {
        let commands: String = self
            .blocks
            .iter()
            .map(|block| match block {
                Block::File { .. } => "",
                Block::Commands { text, .. } | Block::Background { text, .. } => text.as_str(),
            })
            .collect();
        let is_used = |tool: &str| {
            let words = commands.split(|c: char| c.is_whitespace() || "()|;".contains(c));
            words.into_iter().any(|word| word == tool)
        };
        let path = std::env::var_os("PATH").unwrap_or_default();
        let is_missing =
            |tool: &str| !std::env::split_paths(&path).any(|folder| folder.join(tool).exists());
        let missing = TOOLS.into_iter();
        missing
            .filter(|tool| is_used(tool) && is_missing(tool))
            .collect()
    }
}

/// What the comment at the top of a page says.
fn needs(text: &str) -> Needs {
    let comment = text
        .lines()
        .find_map(|line| line.strip_prefix("<!-- run: "));
    match comment {
        None => Needs::Nothing,
        Some("with the demo -->") => Needs::Demo,
        Some("on an empty emulator, with aws -->") => Needs::Emulator,
        Some(other) => panic!("`<!-- run: {other}` is not known"),
    }
}

/// The name in a first line that consists of nothing else: `# curfew.toml`.
fn file_name(text: &str) -> Option<&str> {
    let name = text.lines().next()?.strip_prefix("# ")?;
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    (name.strip_suffix(".toml").is_some() && name.chars().all(is_name)).then_some(name)
}
