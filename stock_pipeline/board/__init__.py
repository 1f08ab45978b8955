"""The board: a local page over the query functions, for people who would rather look. It only reads.

    place         the AWS that the board reads, looked for while the page is already there
    server        the socket, and the server until Ctrl-C
    app           the application behind the gate: the page, its files, the data of each panel
    panels        what each panel shows: figures, facts and tables, from the query functions
    completeness  which sessions of a year each symbol has
    arrivals      rejected rows, and how far the tables are behind
    bars          bars of longer spans and of ticks, and how a line of many ticks is thinned
    figures       the figures, in the form that Plotly has for them
    page          the page itself: HTML, CSS and the JavaScript that draws what the panels say

Rows come from `stock_pipeline.query` alone; no module here opens an object.
"""
