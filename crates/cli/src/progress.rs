//! How a fetch shows itself on standard error: a bar on a terminal, a line now and then elsewhere.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{DecimalBytes, ProgressBar, ProgressDrawTarget, ProgressStyle};
use store::Progress;

/// Between two lines, where there is no bar.
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
    /// The last percentage that got a line.
    told: u64,
}

impl Stderr {
    /// `verb` is what is being done: "fetching".
    pub(crate) fn new(verb: &'static str) -> Self {
        Self {
            verb,
            shape: Shape::Idle,
        }
    }

    /// A line that stays, above the bar where there is one.
    fn say(&self, line: &str) {
        match &self.shape {
            Shape::Bar(bar) => bar.suspend(|| write_line(line)),
            Shape::Idle | Shape::Lines(_) => write_line(line),
        }
    }
}

impl Progress for Stderr {
    fn started(&mut self, name: &str, total_bytes: u64) {
        // A bar that was begun for something else ends here.
        self.shape = if io::stderr().is_terminal() {
            Shape::Bar(bar(self.verb, name, total_bytes))
        } else {
            let size = DecimalBytes(total_bytes);
            write_line(&format!("{} {name} ({size})", self.verb));
            Shape::Lines(Lines {
                name: name.to_owned(),
                total: total_bytes,
                told: 0,
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
    /// The line for this position, where one is due.
    fn due(&mut self, bytes_done: u64) -> Option<String> {
        let percent = (bytes_done.min(self.total) * 100).checked_div(self.total)?;
        // Back to the start when another source is tried.
        self.told = self.told.min(percent);
        if percent < self.told + PERCENT_PER_LINE {
            return None;
        }
        self.told = percent - percent % PERCENT_PER_LINE;
        Some(format!("{}: {} %", self.name, self.told))
    }
}

fn bar(verb: &str, name: &str, total: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
    let template =
        "{msg} [{bar:30}] {decimal_bytes}/{decimal_total_bytes} {decimal_bytes_per_sec} {eta}";
    // The template is a constant; a bar of the default style would do no harm.
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
    fn lines_come_once_for_every_tenth() {
        let mut lines = Lines {
            name: "tiny".to_owned(),
            total: 1000,
            told: 0,
        };
        let positions = [0, 5, 99, 100, 150, 199, 420, 430, 0, 100, 1000, 1000];
        let told: Vec<String> = positions.iter().filter_map(|&at| lines.due(at)).collect();
        let expected = ["tiny: 10 %", "tiny: 40 %", "tiny: 10 %", "tiny: 100 %"];
        assert_eq!(told, expected);
    }

    #[test]
    fn unknown_size_gets_no_lines() {
        let mut lines = Lines {
            name: "tiny".to_owned(),
            total: 0,
            told: 0,
        };
        assert_eq!(lines.due(12345), None);
    }
}
