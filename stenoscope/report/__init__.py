"""What a person looks at: terminal tables, figures, heatmap panels and the HTML report.

Reads finished results; computes no result of its own. `colours` and `panels` draw single clips, `figures`
the curves, `html` the pages, `tables` the terminal.
"""
