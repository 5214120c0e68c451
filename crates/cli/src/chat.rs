//! `duet chat`: a conversation in the terminal, with a verifier over gRPC, any OpenAI-compatible server over HTTP, or a pair that
//! starts in this process.

mod api;
mod command;
mod conversation;
mod input;
mod screen;
mod server;

use std::io;

use proto::verifier::Speculation;
use tokio::signal::ctrl_c;

use self::command::ChatCommand;
use self::conversation::Conversation;
use self::input::{Input, Line};
use self::screen::Screen;
use self::server::Server;
use crate::pair::{LocalPair, PairArgs};
use crate::request::SamplingArgs;

/// Server and settings of the chat.
#[derive(clap::Args, Clone, Debug)]
pub(crate) struct Args {
    /// Address of a running verifier; without it and --api, a pair starts here
    #[arg(
        long,
        env = "DUET_VERIFIER",
        value_name = "URL",
        conflicts_with = "api"
    )]
    verifier: Option<String>,

    /// Base address of an OpenAI-compatible API, up to and including its /v1
    #[arg(long, env = "DUET_API", value_name = "URL")]
    api: Option<String>,

    #[command(flatten)]
    pair: PairArgs,

    /// Instructions that come before the conversation
    #[arg(long, env = "DUET_SYSTEM", value_name = "TEXT")]
    system: Option<String>,

    #[command(flatten)]
    sampling: SamplingArgs,
}

/// Chats until the input ends.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let (server, pair) = args.server().await?;
    let mut chat = Chat {
        server,
        conversation: Conversation::new(args.system.clone()),
        screen: Screen::new(),
        sampling: args.sampling,
        speculation: Speculation::auto(),
    };
    let talked = chat.talk(Input::open()?).await;
    let stopped = match pair {
        Some(pair) => pair.stop().await,
        None => Ok(()),
    };
    talked.and(stopped)
}

impl Args {
    async fn server(&self) -> anyhow::Result<(Server, Option<LocalPair>)> {
        if let Some(address) = &self.api {
            return Ok((Server::api(address).await?, None));
        }
        if let Some(address) = &self.verifier {
            return Ok((Server::verifier(address)?, None));
        }
        let pair = LocalPair::start(&self.pair.options()).await?;
        Ok((Server::verifier(pair.address())?, Some(pair)))
    }
}

/// A running conversation.
struct Chat {
    server: Server,
    conversation: Conversation,
    screen: Screen,
    sampling: SamplingArgs,
    speculation: Speculation,
}

impl Chat {
    async fn talk(&mut self, mut input: Input) -> anyhow::Result<()> {
        if input.is_terminal() {
            self.screen
                .note("/help lists commands; Ctrl-C stops an answer, or leaves.")?;
        }
        loop {
            let line = tokio::select! {
                line = input.next() => line?,
                interrupted = ctrl_c() => {
                    interrupted?;
                    Line::End
                }
            };
            let text = match line {
                Line::End => return Ok(()),
                Line::Text(text) if text.trim().is_empty() => continue,
                Line::Text(text) => text,
            };
            match ChatCommand::parse(&text) {
                Some(Ok(ChatCommand::Quit)) => return Ok(()),
                Some(Ok(command)) => self.obey(command)?,
                Some(Err(wrong)) => self.screen.note(&wrong)?,
                None => {
                    let answered = self.answer(text).await;
                    // A person can try again; a script must fail.
                    match answered {
                        Err(error) if input.is_terminal() => {
                            self.screen.note(&format!("error: {error:#}"))?;
                        }
                        answered => answered?,
                    }
                }
            }
        }
    }

    /// One turn. Ctrl-C ends the answer and keeps its text so far.
    async fn answer(&mut self, text: String) -> anyhow::Result<()> {
        self.conversation.ask(text);
        let mut request = self.conversation.request();
        self.sampling.apply(&mut request);
        request.speculation = self.speculation.clone();
        let mut said = String::new();
        let screen = &self.screen;
        let answer = self.server.ask(request, |piece| {
            said.push_str(&piece.text);
            screen.show(piece)
        });
        let ended = tokio::select! {
            ended = answer => ended.map(Some),
            interrupted = ctrl_c() => interrupted.map(|()| None).map_err(anyhow::Error::from),
        };
        Screen::end_of_answer(&said)?;
        self.conversation.answered(said);
        match ended? {
            Some(spent) => self.conversation.spent(spent),
            None => self.screen.note("(stopped)")?,
        }
        Ok(())
    }

    fn obey(&mut self, command: ChatCommand) -> io::Result<()> {
        match command {
            ChatCommand::Help => self.screen.note(command::HELP),
            ChatCommand::Stats => self.screen.note(&self.conversation.stats()),
            ChatCommand::Reset => {
                self.conversation.reset();
                self.screen.note("The conversation begins anew.")
            }
            ChatCommand::System(text) => {
                self.conversation.instruct(text);
                self.screen
                    .note("The instructions hold from here; the conversation begins anew.")
            }
            ChatCommand::Speculation(on) => {
                self.speculation = if on {
                    Speculation::auto()
                } else {
                    Speculation::Off
                };
                let state = if on { "may" } else { "may not" };
                self.screen.note(&format!("Drafters {state} help."))
            }
            ChatCommand::Quit => Ok(()),
        }
    }
}
