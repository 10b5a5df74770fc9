"""What a person looks at: terminal tables, figures, heatmap panels and the HTML report.

Reads finished results; computes no result of its own. `colours` and `panels` draw single clips, `figures`
the curves; `html` is the page of an experiment, `predict_page` of new clips, `comparison_page` of a study or
an audit, with what they share in `page` and `sections`; `documents` writes the model card and the
checklists, `tables` the terminal.
"""
