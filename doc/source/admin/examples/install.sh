python3 -m venv /opt/zaqar
/opt/zaqar/bin/pip install zaqar marconi-swift uwsgi
