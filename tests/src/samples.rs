//! Texts to tokenize, written for this: prose, code, Chinese with Japanese and Korean, and a mix of everything.

/// A kind of text and a few thousand bytes of it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Kind of text.
    pub kind: &'static str,
    /// The text.
    pub text: &'static str,
}

/// All of them.
pub const ALL: [Sample; 4] = [
    Sample {
        kind: "code",
        text: include_str!("samples/code.txt"),
    },
    Sample {
        kind: "English",
        text: include_str!("samples/english.txt"),
    },
    Sample {
        kind: "CJK",
        text: include_str!("samples/cjk.txt"),
    },
    Sample {
        kind: "mixed",
        text: include_str!("samples/mixed.txt"),
    },
];

/// Short texts that tokenizers have got wrong: code points split over tokens, joiners, marks that NFC composes or
/// reorders, compatibility characters, white space of all kinds, and what looks like a special token.
pub const HARD: [&str; 24] = [
    "",
    " ",
    "  leading and trailing  ",
    "a\r\nb\r\n\r\n\tc\t\t d\u{a0}\u{3000}e\u{2028}f\u{85}g",
    "                                 many spaces, then\n\n\n\n\n\n\n\n lines",
    "👩\u{200d}👩\u{200d}👧\u{200d}👦 🏳\u{fe0f}\u{200d}🌈 👋🏿 🇳🇴🇯🇵 1\u{fe0f}\u{20e3}",
    "e\u{301} \u{e9} a\u{328}\u{301} a\u{301}\u{328} \u{212b} \u{c5} q\u{307}\u{323} q\u{323}\u{307}",
    "\u{1100}\u{1161}\u{11a8} 각 한국어",
    "ﬁ ½ ² Ⅷ ｆｕｌｌ ｶﾅ ㎏ ﷺ ſ",
    "العربية بِسْمِ ٱللَّهِ ١٢٣ لا إله",
    "नमस्ते क्षत्रिय สวัสดี שָׁלוֹם தமிழ்",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𐍈 𓀀 \u{10ffff} \u{e000} \u{fffd}",
    "Z\u{351}\u{36b}\u{343}\u{32a}a\u{30d}\u{30e}l\u{489}g\u{334}o\u{321}",
    "1234567890 3.14159 0xFFFF ١٢٣٤ ๑๒๓ 一二三 1,000,000",
    "don't I'll THEY'RE we'Ve it's 'S ’s",
    "camelCaseXMLHttpRequest snake_case_name kebab-case //comment /* x */",
    "def f(x):\n    return [i**2 for i in range(x) if i % 2 == 0]\n",
    "\u{0}\u{1}\u{1d}\u{7f}\u{feff}\u{200b}\u{202e}abc\u{202c}",
    "<0x41><0xE4> \u{2581}under\u{2581}\u{2581} Ġthe Ċ",
    "<|im_start|>user\n<|im_end|> <|endoftext|> <|eot_id|>",
    "<s>[INST] x [/INST]</s> <bos><start_of_turn>model<end_of_turn><eos> [multimodal] <unused7>",
    "<｜begin▁of▁sentence｜><｜User｜>x<｜Assistant｜><｜tool▁sep｜>",
    "<tool_call>{}</tool_call> <think> </think> <|fim_prefix|><pad><mask>",
    "中文和English混排，１２３ 日本語テキスト。한국어띄어쓰기 русский текст Ελληνικά",
];
