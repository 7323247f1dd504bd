"""Flask-SocketIO in threads: what a client says comes back to all of them."""

from flask import Flask
from flask_socketio import SocketIO

application = Flask(__name__)
socketio = SocketIO(application, async_mode="threading")


@application.get("/")
def front():
    return "front"


@socketio.on("say")
def say(text):
    socketio.emit("said", text.upper())
    return "heard"
