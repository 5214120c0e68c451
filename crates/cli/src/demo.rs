//! `duet demo`: one prompt with and without speculation; both services run in this process and talk gRPC over loopback.

mod report;

use std::io::{self, IsTerminal as _, Write as _};

use proto::model::{Message, Prompt, Role};
use proto::verifier::{Generate, Piece, Speculation};

use self::report::DemoReport;
use crate::pair::{LocalPair, PairArgs};
use crate::request::{self, SamplingArgs, WholeReply};

/// A task whose reply repeats most of the prompt, like many edits: there drafting pays most.
const PROMPT: &str = "Add type hints and a one-line docstring to each function of this Python module, and reply with the \
whole module:\n\n```python\ndef mean(values):\n    total = 0.0\n    for value in values:\n        total += value\n    return \
total / len(values)\n\n\ndef variance(values):\n    center = mean(values)\n    total = 0.0\n    for value in values:\n        \
total += (value - center) ** 2\n    return total / len(values)\n\n\ndef normalize(values):\n    center = mean(values)\n    \
spread = variance(values) ** 0.5\n    return [(value - center) / spread for value in values]\n```";

/// Prompt, models and output.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Prompt
    #[arg(long, env = "DUET_PROMPT", value_name = "TEXT", default_value = PROMPT, hide_default_value = true)]
    prompt: String,

    #[command(flatten)]
    pair: PairArgs,

    #[command(flatten)]
    sampling: SamplingArgs,

    /// Skip the run without speculation, so that nothing is compared
    #[arg(long)]
    no_baseline: bool,

    /// Print one JSON object on standard output, and nothing else
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
pub(crate) async fn run(mut args: Args) -> anyhow::Result<()> {
    // Both runs must use the same noise.
    args.sampling.seed.get_or_insert(0);
    let pair = LocalPair::start(&args.pair.options()).await?;
    let output = Output::new(&args);
    output.note(&format!(
        "{} drafts for {}\n",
        args.pair.drafter, args.pair.target
    ))?;
    let mut client = request::connect(pair.address())?;
    let speculative = request::ask(&mut client, args.request(Speculation::auto()), |piece| {
        output.show(piece)
    });
    let speculative = speculative.await?;
    output.end_of_text(&speculative)?;
    let plain = if args.no_baseline {
        None
    } else {
        output.note("The same again without the drafter ...")?;
        Some(request::ask(&mut client, args.request(Speculation::Off), |_| Ok(())).await?)
    };
    let report = DemoReport {
        target: &args.pair.target,
        drafter: &args.pair.drafter,
        prompt: &args.prompt,
        plain: plain.as_ref(),
        speculative: &speculative,
    };
    let mut out = io::stdout().lock();
    if args.json {
        writeln!(out, "{:#}", report.json())?;
    } else {
        writeln!(out, "\n{report}")?;
    }
    drop(out);
    pair.stop().await
}

impl Args {
    fn request(&self, speculation: Speculation) -> Generate {
        let message = Message::new(Role::User, self.prompt.clone());
        let mut request = Generate::new(Prompt::chat(vec![message]));
        self.sampling.apply(&mut request);
        request.speculation = speculation;
        request
    }
}

/// Standard output: in colour on a terminal, silent for JSON.
struct Output {
    silent: bool,
    colour: bool,
}

impl Output {
    fn new(args: &Args) -> Self {
        Self {
            silent: args.json,
            colour: io::stdout().is_terminal(),
        }
    }

    fn note(&self, line: &str) -> io::Result<()> {
        if self.silent {
            Ok(())
        } else {
            writeln!(io::stdout().lock(), "{line}")
        }
    }

    /// Text as it arrives.
    fn show(&self, piece: &Piece) -> io::Result<()> {
        if self.silent {
            return Ok(());
        }
        request::show(piece, self.colour)
    }

    fn end_of_text(&self, answer: &WholeReply) -> io::Result<()> {
        if !answer.text.ends_with('\n') {
            self.note("")?;
        }
        if self.colour {
            self.note("\n\x1b[32mgreen\x1b[0m: proposed by the drafter and accepted\n")?;
        }
        Ok(())
    }
}
