"""The demo: a stream of loans whose rule of approval changes, with the whole service around it or into a topic."""
