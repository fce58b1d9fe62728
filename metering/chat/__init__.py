"""Chat completions: the fields of a call, the prompt, the usage and the reply."""
