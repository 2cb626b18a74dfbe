/** An exact decimal number: `digits` times ten to the power of minus `scale`. */
export class Exact {
  readonly digits: bigint;
  readonly scale: number;

  constructor(digits: bigint, scale: number) {
    this.digits = digits;
    this.scale = scale;
  }

  static of(text: string | number): Exact {
    const [whole = '0', fraction = ''] = String(text).split('.');
    return new Exact(BigInt(whole + fraction), fraction.length);
  }

  at(scale: number): Exact {
    return new Exact(this.digits * 10n ** BigInt(scale - this.scale), scale);
  }

  plus(other: Exact): Exact {
    const scale = Math.max(this.scale, other.scale);
    return new Exact(this.at(scale).digits + other.at(scale).digits, scale);
  }

  times(other: Exact): Exact {
    return new Exact(this.digits * other.digits, this.scale + other.scale);
  }

  negated(): Exact {
    return new Exact(-this.digits, this.scale);
  }

  /** With this many more digits than the dividend has than fit any field: rounding follows. Undefined for a divisor of zero. */
  dividedBy(other: Exact): Exact | undefined {
    if (other.digits === 0n) return undefined;
    const scale = 30;
    const dividend =
      this.digits *
      10n ** BigInt(scale + other.scale - this.scale + (this.scale > scale + other.scale ? this.scale : 0));
    return new Exact(dividend / other.digits, scale);
  }

  /** The remainder with the sign of the dividend, as in SQL. */
  remainder(other: Exact): Exact | undefined {
    if (other.digits === 0n) return undefined;
    const scale = Math.max(this.scale, other.scale);
    return new Exact(this.at(scale).digits % other.at(scale).digits, scale);
  }

  /** Halves go away from zero, as in the databases. */
  rounded(scale: number): Exact {
    if (scale >= this.scale) return this.at(scale);
    const unit = 10n ** BigInt(this.scale - scale);
    const half = this.digits < 0n ? -(unit / 2n) : unit / 2n;
    return new Exact((this.digits + half) / unit, scale);
  }

  floor(): Exact {
    const unit = 10n ** BigInt(this.scale);
    const whole = this.digits / unit;
    return new Exact(this.digits < 0n && this.digits % unit !== 0n ? whole - 1n : whole, 0);
  }

  compare(other: Exact): number {
    const { digits } = this.plus(other.negated());
    return digits < 0n ? -1 : Number(digits > 0n);
  }

  toNumber(): number {
    return Number(this.toString());
  }

  toString(): string {
    const text = (this.digits < 0n ? -this.digits : this.digits).toString().padStart(this.scale + 1, '0');
    const sign = this.digits < 0n ? '-' : '';
    if (this.scale === 0) return sign + text;
    return `${sign}${text.slice(0, -this.scale)}.${text.slice(-this.scale)}`;
  }
}
