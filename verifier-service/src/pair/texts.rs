//! Texts that are hard for tokenizers, written for this check.

/// Name and text of each.
pub(super) const ALL: [(&str, &str); 12] = [
    (
        "code",
        "#[derive(Clone, Debug)]\nstruct Ring<T> {\n    items: Vec<Option<T>>,\n    head: usize,\n}\n\nimpl<T> Ring<T> {\n    \
         fn push(&mut self, item: T) -> Option<T> {\n        let slot = self.head % self.items.len();\n        self.head += 1;\n\
         \x20       self.items[slot].replace(item)\n    }\n}\n\ndef area(width: float, height: float = 1.0) -> float:\n\tif width \
         <= 0 or height <= 0:\n\t\traise ValueError(f\"{width!r} x {height!r}\")\n\treturn width * height  # m^2\n",
    ),
    (
        "english",
        "The ferry left an hour late, but nobody on deck seemed to mind: the rain had stopped, the islands lay ahead, and \
         someone's grandmother was handing out plums. \"Don't count them,\" she said, \"you'll only want more.\" By a quarter \
         past nine we'd passed the lighthouse that isn't one any longer, and the captain, who had been whistling since the \
         harbour, fell silent.\n",
    ),
    (
        "cjk",
        "四季について:春は花が咲き、夏は海で泳ぎます。秋になると葉が赤くなり、冬は雪が降る。\n我们在图书馆门口见面,然后一起去看电影。\n\
         오늘은 날씨가 맑아서 공원에 갔습니다.\n",
    ),
    (
        "emoji",
        "Family 👨‍👩‍👧‍👦 at the 🏖️, flags 🇯🇵🇧🇷🏴󠁧󠁢󠁳󠁣󠁴󠁿, hands 👋🏽👩🏿‍🚀, hearts ❤️‍🔥🧑‍❤️‍🧑 and 🫠🪿 of late.\n",
    ),
    (
        "combining accents",
        "Cafe\u{301}, e\u{302}\u{323}, n\u{303}, A\u{30a}ngstro\u{308}m next to Café, ệ, ñ, Ångström; ﬁne ﬂuid, \
         z\u{335}\u{321}a\u{334}l\u{338}g\u{336}o\u{337}.\n",
    ),
    (
        "line ends",
        "name,colour\r\napple,red\r\n\r\nbanana,yellow\r\r\nlime,green\n\r\n\tend\r\n",
    ),
    (
        "runs of spaces",
        "a  b   c    d     e\n        eight\n                sixteen\n\t\t\ttabs\n \u{a0} \u{3000} \u{2003}wide\n   \n\n\n\nend   ",
    ),
    (
        "arabic",
        "كانَ البحرُ هادئًا في الصباح، ثمّ جاءت الرياح من الشمال. عددُ القوارب ١٢٣٤، والسعر ٥٫٦ دنانير. שלום עולם, וגם בעברית.\n",
    ),
    (
        "indic",
        "नमस्ते दुनिया, क्षत्रिय और ज्ञान। ভাষা শেখা আনন্দের। தமிழ் எழுத்துக்கள் அழகானவை. สวัสดีครับ ยินดีต้อนรับ\n",
    ),
    (
        "numbers",
        "3.14159265358979, -0.5e-10, 1,234,567.89, 0xDEADBEEF, 2026-11-22T03:14:15Z, 192.168.100.255:65535, ½ ² ₃ Ⅷ ①, 1000000007\n",
    ),
    (
        "spelled special tokens",
        "<|im_start|>user\nSay <|im_end|> and <|endoftext|>, </s> or <s>[INST] x [/INST]; <start_of_turn>model <end_of_turn> \
         <eos><bos><pad> <unk> <0x0A> <|eot_id|> ▁low Ġbyte <｜end▁of▁sentence｜>\n",
    ),
    (
        "symbols and controls",
        "\u{1}\u{7f}\u{1d}\u{feff}zero\u{200b}width\u{ad}soft \u{202e}right-to-left\u{202c} ∀x∈ℝ: ⌈x⌉≥x ⇒ ∑ᵢ√xᵢ ≠ ∞ 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𓀀𓂀 \u{10ffff}\n",
    ),
];
