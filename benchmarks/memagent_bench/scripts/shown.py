"""Which figures the tables of README.md and docs/ show, and how they are written."""

# Metrics that the table of a benchmark shows: (benchmark, metric, description, format).
SHOWN = (
    ("store", "append_p95_ms", "committing a turn to disk, 95th percentile", "{:.1f} ms"),
    ("store", "query_p95_ms@1000", "query over 1,000 events, 95th percentile", "{:.1f} ms"),
    ("store", "query_p95_ms@100000", "query over 100,000 events, 95th percentile", "{:.1f} ms"),
    ("store", "help_s", "`memagent --help`", "{:.2f} s"),
    ("store", "bytes_per_byte", "bytes stored per byte of text", "{:.1f}"),
    (
        "ingest",
        "seconds@100000",
        "reading, segmenting, embedding and indexing 100,000 words",
        "{:.0f} s",
    ),
    ("ingest", "loading_s", "of which loading the two models", "{:.0f} s"),
    ("ingest", "scored_tokens_per_s", "tokens per second: surprise", "{:,.0f}"),
    ("ingest", "embedded_tokens_per_s", "tokens per second: embedding", "{:,.0f}"),
    ("ingest", "tokens_per_event", "mean tokens per event", "{:.0f}"),
    (
        "stream",
        "worst_over_own_window",
        "perplexity along a book, sinks and window relative to the model's own "
        "window, worst of 12 sections",
        "{:.3f}",
    ),
    (
        "stream",
        "again_recent@4096",
        "bits per token of a passage read again after 4,096 tokens, without recall",
        "{:.2f}",
    ),
    ("stream", "again_representative@4096", "the same with recall", "{:.2f}"),
    (
        "stream",
        "passkey@16384",
        "passkeys found in 16,384 tokens (32 times the model's window)",
        "{:.0%}",
    ),
    (
        "stream",
        "passkey_landmark@32768",
        "passkeys found in 32,768 tokens by the landmark model (64 times its window)",
        "{:.0%}",
    ),
    (
        "stream",
        "time_growth",
        "time per token after 65,536 tokens relative to 4,096",
        "{:.2f}",
    ),
    (
        "stream",
        "speedup@65536",
        "full cache of Transformers, time per token after 65,536 tokens relative to the stream",
        "{:.0f} times",
    ),
    *(
        (
            "kernels",
            f"decode_over_sdpa@{n}",
            f"decode, {n:,} keys: time relative to dense",
            "{:.2f}",
        )
        for n in (4096, 16384, 65536)
    ),
    *(
        (
            "kernels",
            f"prefill_speedup@{n}",
            f"prompt chunk, {n:,} keys: speedup over dense",
            "{:.1f}",
        )
        for n in (4096, 16384, 65536)
    ),
    ("kernels", "mass_kept_planted@65536", "attention mass kept where some keys match", "{:.2f}"),
    ("kernels", "error_fp32", "largest relative error against float64, in float32", "{:.1e}"),
    ("kernels", "error_bf16", "the same in bfloat16", "{:.1e}"),
    ("reader", "f1_xquad", "XQuAD (English), F1", "{:.1%}"),
    ("reader", "baseline_f1_xquad", "XQuAD (English), F1 of the nearest sentence", "{:.1%}"),
    ("reader", "em_xquad", "XQuAD (English), exact match", "{:.1%}"),
    ("reader", "f1_fairytaleqa", "FairytaleQA, F1", "{:.1%}"),
    ("reader", "f1_friendsqa", "FriendsQA, F1", "{:.1%}"),
    (
        "reader",
        "no_answer_accuracy_xquad",
        "XQuAD among 8 passages, correctly answered or refused",
        "{:.1%}",
    ),
    (
        "reader",
        "citation_precision_xquad",
        "XQuAD among 8 passages, answers whose sentence contains a correct one",
        "{:.1%}",
    ),
    ("reader", "ms_per_passage", "reading a passage of 128 tokens", "{:.0f} ms"),
    *(
        (
            "recall",
            f"{way}coverage@{budget}",
            f"LoCoMo: evidence in {budget:,} tokens{of}",
            "{:.1%}",
        )
        for budget in (500, 1000, 2000, 7000)
        for way, of in (
            ("", ""),
            ("fused_", ", fused ranks"),
            ("floor_", ", words only"),
            ("dense_", ", vectors only"),
        )
    ),
    (
        "recall",
        "coverage_cat1@2000",
        "LoCoMo: evidence in 2,000 tokens, questions with several pieces of evidence",
        "{:.1%}",
    ),
    *(
        ("recall", f"{way}coverage@2000_{name}", f"{title}: evidence in 2,000 tokens{of}", "{:.1%}")
        for name, title in (("qmsum", "QMSum"), ("fairytaleqa", "FairytaleQA"))
        for way, of in (("", ""), ("fused_", ", fused ranks"))
    ),
    (
        "recall",
        "query_p50_ms",
        "query including the embedding of the question, median",
        "{:.0f} ms",
    ),
    ("recall", "query_p95_ms", "query, 95th percentile", "{:.0f} ms"),
    *(
        ("segments", f"{way}_{figure}_{name}", f"{title}: {what}{of}", "{:.3f}")
        for name, title in (("choi", "Choi"), ("qmsum", "QMSum"))
        for way, what in (
            ("surprise", "F1 of the product's events"),
            ("strongest_surprise_refined", "F1 at the scale of topics, surprise, refined"),
            ("similarity_dips", "F1 at the scale of topics, dips in similarity"),
            ("most_modular", "F1 at the scale of topics, modularity"),
        )
        for figure, of in (
            ("f1", ""),
            ("f1_random", ", same events in random order"),
            ("f1_random_by_length", ", random order with sizes in characters"),
            ("f1_fixed", ", fixed windows of the same mean size"),
        )
    ),
    (
        "segments",
        "windows_checked",
        "refined windows that agree with their similarity graph",
        "{:,.0f}",
    ),
    (
        "segments",
        "graph_over_refinement@512",
        "time of the graph relative to prefix sums",
        "{:.1f}",
    ),
    (
        "served",
        "throughput_ratio@32",
        "batch with 32 rows at a time: tokens per second relative to a bare client",
        "{:.2f}",
    ),
    *(
        (
            "served",
            f"cached_share@{window}",
            f"conversation of 20 turns, window of {window:,}: prompt tokens from the prefix cache",
            "{:.1%}",
        )
        for window in (32768, 8192)
    ),
    ("faults", "kills", "processes killed at random moments", "{:.0f}"),
    ("faults", "lost", "lost turns or spans that had been acknowledged", "{:.0f}"),
    ("faults", "integrity_failures", "damaged stores", "{:.0f}"),
    ("faults", "search_differences", "searches that differ after rebuilding the index", "{:.0f}"),
    ("faults", "leaks", "texts visible from another namespace", "{:.0f}"),
    ("faults", "bytes_after_forget", "copies of forgotten text left in the files", "{:.0f}"),
)
# The table `figures`: (benchmark, description, metrics and their formats).
FIGURES = (
    ("recall", "LoCoMo: evidence recalled in 500 tokens", "{coverage@500:.1%}"),
    (
        "stream",
        "perplexity along a book, relative to the model reading with its own window",
        "{worst_over_own_window:.3f}",
    ),
    (
        "stream",
        "passkeys found in 16,384 tokens, 32 times the model's window",
        "{passkey@16384:.0%}",
    ),
    (
        "faults",
        "acknowledged turns or spans lost when writing processes are killed",
        "{lost:.0f} in {kills:.0f} kills",
    ),
    (
        "served",
        "tokens per second of a batch relative to a bare client of the same server",
        "{throughput_ratio@32:.2f}",
    ),
)
