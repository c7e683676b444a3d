"""The viewer in the browser: cases, their pictures and volumes, and the server of the page."""
