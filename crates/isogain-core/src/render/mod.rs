//! A finding as text, JSON, GitHub annotations, SARIF or Markdown: one file each.
