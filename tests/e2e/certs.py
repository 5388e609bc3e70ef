"""certs.py - certificates for a test, by openssl's own command: authorities, servers, clients; good ones and bad ones."""

import pathlib
import subprocess


def openssl(*arguments):
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    def __init__(self, folder, name="ca"):
        self.folder, self.name = pathlib.Path(folder), name
        self.folder.mkdir(parents=True, exist_ok=True)
        self.cert, self.key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.cert)

    def issue(self, name, san, days=2):
        """(certificate, key) for these subject alternative names; days < 0: expired."""
        cert, key, request, extra = (self.folder / f"{name}.{end}" for end in ("pem", "key", "csr", "ext"))
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}", "-keyout", key,
                "-out", request)
        extra.write_text(f"subjectAltName={san}\n")
        if days > 0:
            openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-days", days, "-extfile", extra,
                    "-out", cert)
        else:
            database = self.folder / f"{name}.db"
            (self.folder / f"{name}.db").write_text("")
            (self.folder / f"{name}.serial").write_text("10")
            conf = self.folder / f"{name}.cnf"
            conf.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={database}\nserial={self.folder}/{name}.serial\nnew_certs_dir={self.folder}\n"
                            "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
            openssl("ca", "-batch", "-config", conf, "-in", request, "-cert", self.cert, "-keyfile", self.key, "-startdate", "20200101000000Z",
                    "-enddate", "20200102000000Z", "-extfile", extra, "-out", cert, "-notext")
        return cert, key
