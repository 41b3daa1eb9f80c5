"""The stages of an evaluation: edit, score, report and agreement; they meet in the files of a run directory."""
