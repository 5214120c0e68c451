//! Grammars of requests, compiled. The compiler is made when the first request needs it, since most verifiers see none.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use grammar::{GrammarError, Grammars, Guide};
use proto::verifier::GrammarRule;

use crate::target::Target;

/// Most compiled grammars that are kept for requests to come.
const KEPT: usize = 32;

/// Compiled grammars of requests. Shared by all.
pub(crate) struct CompiledGrammars {
    target: Arc<Target>,
    compiler: OnceLock<Result<Grammars, GrammarError>>,
    /// The last ones used, the latest last.
    kept: Mutex<VecDeque<(GrammarRule, Guide)>>,
}

impl CompiledGrammars {
    pub(crate) fn new(target: Arc<Target>) -> Self {
        Self {
            target,
            compiler: OnceLock::new(),
            kept: Mutex::default(),
        }
    }

    /// Guide through a grammar. Compiling a large one takes seconds, so the runtime's threads do not call it.
    pub(crate) fn guide(&self, rule: &GrammarRule) -> Result<Guide, GrammarError> {
        if let Some(guide) = self.take_kept(rule) {
            let fork = guide.fork();
            self.keep(rule, guide);
            return Ok(fork);
        }
        let compiler = self.compiler.get_or_init(|| {
            let tokenizer = Arc::clone(self.target.tokenizer());
            Grammars::new(tokenizer, self.target.vocab_size())
        });
        let compiler = compiler.as_ref().map_err(Clone::clone)?;
        let guide = match rule {
            GrammarRule::JsonSchema(schema) => compiler.json_schema(schema),
            GrammarRule::Regex(regex) => compiler.regex(regex),
            GrammarRule::Lark(lark) => compiler.lark(lark),
            GrammarRule::Choices(texts) => compiler.choices(texts),
        }?;
        let fork = guide.fork();
        self.keep(rule, guide);
        Ok(fork)
    }

    fn take_kept(&self, rule: &GrammarRule) -> Option<Guide> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let place = kept.iter().position(|(known, _)| known == rule)?;
        kept.remove(place).map(|(_, guide)| guide)
    }

    fn keep(&self, rule: &GrammarRule, guide: Guide) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.iter().any(|(known, _)| known == rule) {
            return;
        }
        if kept.len() >= KEPT {
            kept.pop_front();
        }
        kept.push_back((rule.clone(), guide));
    }
}
