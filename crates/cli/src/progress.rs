//! Progress of a download on standard error: a bar on a terminal, a line for every tenth elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use store::Progress;

/// Percentage between two lines, if there is no bar.
const PERCENT_PER_LINE: u64 = 10;

/// Reports to standard error.
pub(crate) struct Stderr {
    verb: &'static str,
    shape: Shape,
}

enum Shape {
    Idle,
    Bar(ProgressBar),
    Lines(Lines),
}

/// Plain text, for logs and pipes.
struct Lines {
    name: String,
    total: u64,
    /// Percentage of the last line.
    shown: u64,
}

impl Stderr {
    /// Progress of an action; `verb` names it, such as "fetching".
    pub(crate) fn new(verb: &'static str) -> Self {
        Self {
            verb,
            shape: Shape::Idle,
        }
    }

    /// Prints a line that stays, above the bar if there is one.
    fn say(&self, line: &str) {
        match &self.shape {
            Shape::Bar(bar) => bar.suspend(|| write_line(line)),
            Shape::Idle | Shape::Lines(_) => write_line(line),
        }
    }
}

impl Progress for Stderr {
    fn started(&mut self, name: &str, total_bytes: u64) {
        // Replaces the bar of an earlier download.
        self.shape = if io::stderr().is_terminal() {
            Shape::Bar(bar(self.verb, name, total_bytes))
        } else {
            let size = DecimalBytes(total_bytes);
            write_line(&format!("{} {name} ({size})", self.verb));
            Shape::Lines(Lines {
                name: name.to_owned(),
                total: total_bytes,
                shown: 0,
            })
        };
    }

    fn advanced(&mut self, bytes_done: u64) {
        match &mut self.shape {
            Shape::Idle => {}
            Shape::Bar(bar) => bar.set_position(bytes_done),
            Shape::Lines(lines) => {
                if let Some(line) = lines.due(bytes_done) {
                    write_line(&line);
                }
            }
        }
    }

    fn source_passed_over(&mut self, source: &str, why: &str) {
        self.say(&format!("passed over {source}: {why}"));
    }

    fn finished(&mut self) {
        match std::mem::replace(&mut self.shape, Shape::Idle) {
            Shape::Idle => {}
            Shape::Bar(bar) => bar.finish_and_clear(),
            Shape::Lines(lines) => write_line(&format!("{}: done", lines.name)),
        }
    }

    fn waiting(&mut self) {
        self.say("another process is fetching this model; waiting for it");
    }
}

impl Lines {
    /// Line for this position, if one is due.
    fn due(&mut self, bytes_done: u64) -> Option<String> {
        let percent = (bytes_done.min(self.total) * 100).checked_div(self.total)?;
        // Another source starts at 0 again.
        self.shown = self.shown.min(percent);
        if percent < self.shown + PERCENT_PER_LINE {
            return None;
        }
        self.shown = percent - percent % PERCENT_PER_LINE;
        Some(format!("{}: {} %", self.name, self.shown))
    }
}

fn bar(verb: &str, name: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template =
        "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
    // The template is constant and valid; otherwise the bar keeps the default style.
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(format!("{verb} {name}"));
    bar
}

fn write_line(line: &str) {
    // Progress that cannot be shown is no reason to stop.
    let _ = writeln!(io::stderr(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_gets_one_line() {
        let mut lines = Lines {
            name: "tiny".to_owned(),
            total: 1000,
            shown: 0,
        };
        let positions = [0, 5, 99, 100, 150, 199, 420, 430, 0, 100, 1000, 1000];
        let shown: Vec<String> = positions.iter().filter_map(|&at| lines.due(at)).collect();
        let expected = ["tiny: 10 %", "tiny: 40 %", "tiny: 10 %", "tiny: 100 %"];
        assert_eq!(shown, expected);
    }

    #[test]
    fn unknown_size_gets_no_lines() {
        let mut lines = Lines {
            name: "tiny".to_owned(),
            total: 0,
            shown: 0,
        };
        assert_eq!(lines.due(12345), None);
    }
}
