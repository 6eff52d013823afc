"""Documents of sentences, charts and tables, and the files they are opened, printed and worked on as."""
